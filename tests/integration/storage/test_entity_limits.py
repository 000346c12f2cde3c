"""Limits of one entity, against what is stored too: nothing of a batch that exceeds one is written."""

from typing import Any

import pytest

from app.config.settings import Settings
from app.core.errors import InvalidError
from app.core.models import Batch, PropertyRow
from storage.stores import Stores
from tests.rows import entity, prop, user

pytestmark = pytest.mark.integration


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"max_properties_per_entity": 20, "max_entity_bytes": 8_000})


async def stored(db: Any) -> int:
    found: int = await db.fetchval(
        "SELECT coalesce(sum((SELECT count(*) FROM jsonb_object_keys(properties))), 0) FROM entities"
    )
    return found


async def test_properties_of_a_new_entity(stores: Stores, db: Any) -> None:
    with pytest.raises(InvalidError, match="PROFILE_MAX_PROPERTIES_PER_ENTITY") as caught:
        await stores.writer.write(Batch(properties=[prop("a", f"f{n}", "1") for n in range(21)]))
    assert caught.value.code == "too-many-properties"
    assert await stored(db) == 0


async def test_properties_that_come_one_by_one(stores: Stores, db: Any) -> None:
    for number in range(20):
        await stores.writer.write(Batch(properties=[prop("a", f"f{number}", "1")]))
    with pytest.raises(InvalidError, match="PROFILE_MAX_PROPERTIES_PER_ENTITY"):
        await stores.writer.write(Batch(properties=[prop("a", "one-more", "1")]))
    assert await stored(db) == 20
    await stores.writer.write(Batch(properties=[prop("a", "f0", "2", seconds=1)]))  # a change is none more


@pytest.mark.parametrize("text", ['"' + "a" * 5_000 + '"', '"' + "ü" * 2_500 + '"'])
async def test_bytes_however_well_they_compress(stores: Stores, db: Any, text: str) -> None:
    await stores.writer.write(Batch(properties=[prop("a", "first", text)]))
    with pytest.raises(InvalidError, match="PROFILE_MAX_ENTITY_BYTES") as caught:
        await stores.writer.write(Batch(properties=[prop("a", "second", text)]))
    assert caught.value.code == "entity-too-large"
    assert await stored(db) == 1
    with pytest.raises(InvalidError, match="PROFILE_MAX_ENTITY_BYTES"):
        await stores.writer.write(Batch(properties=[prop("b", "f", text), prop("b", "g", text)]))
    assert await stored(db) == 1


QUOTES = '"' + r"\"" * 2_000 + '"'  # 2 kB in jsonb, 8 kB in a change
CONTROL = '"' + r"\u0001" * 1_200 + '"'
LONG = f"[{','.join(['1e999'] * 9)}]"  # 150 bytes in jsonb, 9 kB in a change


@pytest.mark.parametrize("text", [QUOTES, CONTROL, LONG])
async def test_bytes_as_a_change_spells_them(stores: Stores, db: Any, text: str) -> None:
    for field in ("new", "old"):  # with its entity, and into one that is there
        with pytest.raises(InvalidError, match="PROFILE_MAX_ENTITY_BYTES") as caught:
            await stores.writer.write(Batch(properties=[prop("a", field, text)]))
        assert caught.value.code == "entity-too-large"
        assert await stored(db) == (field == "old")
        await stores.writer.write(Batch(properties=[prop("a", "small", "1E400")]))


async def test_a_change_within_the_limit_is_written(stores: Stores, db: Any) -> None:
    text = '"' + r"\"" * 1_900 + '"'
    await stores.writer.write(Batch(properties=[prop("a", "quotes", text)]))
    size = "SELECT octet_length(to_json(properties::text)::text) FROM entities"
    assert 7_600 < await db.fetchval(size) <= 8_000


def hidden(reference: str, field: str, seconds: int) -> PropertyRow:
    return prop(reference, field, "", seconds)._replace(value=None)


async def test_removed_properties_are_not_counted(stores: Stores, db: Any) -> None:
    for number in range(0, 60, 20):
        names = [f"f{number + n}" for n in range(20)]
        await stores.writer.write(Batch(properties=[prop("a", name, "1") for name in names]))
        with pytest.raises(InvalidError, match="user/a would have more than 20 properties"):
            await stores.writer.write(Batch(properties=[prop("a", "one-more", "1")]))
        await stores.writer.write(Batch(properties=[hidden("a", name, 1) for name in names]))
    await stores.writer.write(Batch(properties=[prop("a", f"g{n}", "1") for n in range(20)]))
    with pytest.raises(InvalidError, match="user/a would have more than 20 properties"):
        await stores.writer.write(Batch(properties=[prop("a", "f0", "1", seconds=2)]))  # comes back
    assert await stored(db) == 80


@pytest.mark.parametrize(
    "too_much",
    [
        [prop("a", f"g{n}", "1") for n in range(21)],
        [prop("a", "big", '"' + "ü" * 4_000 + '"')],
        [prop("a", "long", LONG)],
    ],
)
@pytest.mark.parametrize("is_new", [False, True])
async def test_a_dry_run_refuses_what_the_write_refuses(
    stores: Stores, db: Any, too_much: list[PropertyRow], is_new: bool
) -> None:
    too_much = [*too_much, prop("a", "g0", "1")]
    if not is_new:
        await stores.writer.write(Batch(properties=[prop("a", "f", "1")]))
    batch = Batch(entities=[entity("a"), entity("b")], properties=[prop("b", "innocent", "1"), *too_much])
    preview = await stores.preview.preview(batch)
    with pytest.raises(InvalidError) as caught:
        await stores.writer.write(batch)
    assert [(key, str(error), error.code, error.entity) for key, error in preview.refused] == [
        (user("a"), str(caught.value), caught.value.code, ("user", "a"))
    ]
    assert [difference.row for difference in preview.entities] == [user("b")]
    assert [difference.row.field for difference in preview.properties] == ["innocent"]
    fits = Batch(properties=[hidden("a", f"h{n}", 1) for n in range(30)])
    assert (await stores.preview.preview(fits)).refused == []
    await stores.writer.write(fits)
