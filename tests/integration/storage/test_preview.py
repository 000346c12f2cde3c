"""The preview on PostgreSQL: it says what the write then does, and writes nothing."""

import itertools
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.core.dates import to_text
from app.core.errors import InvalidError
from app.core.models import Batch, EdgeRow, EntityKey, PropertyRow, TemporalRow
from app.core.preview import Difference, Preview
from storage.stores import Stores
from tests.rows import at, edge, entity, point, prop

pytestmark = pytest.mark.integration

_RUN = itertools.count()
VALUES = st.sampled_from(["1", "1.0", "2", '"x"', "null", '{"a": [1, 2]}'])  # spelled as jsonb spells them
NAMES = st.sampled_from(["a", "b", "c"])
SECONDS = st.integers(0, 3)
BATCHES = st.builds(
    lambda entities, properties, edges, temporal: Batch(
        entities=entities, properties=properties, edges=edges, temporal=temporal
    ),
    st.lists(st.builds(entity, NAMES), max_size=2),
    st.lists(st.builds(prop, NAMES, st.sampled_from(["f", "g"]), VALUES, SECONDS), max_size=6),
    st.lists(st.builds(edge, NAMES, NAMES, metadata=st.none() | VALUES, seconds=SECONDS), max_size=6),
    st.lists(
        st.builds(point, NAMES, st.just("k"), VALUES, date=st.builds(at, SECONDS), version=st.integers(0, 2)),
        max_size=6,
    ),
)

State = dict[tuple[Any, ...], tuple[Any, ...]]


async def state(db: Any) -> State:
    """All that is stored and stands: (value, date, version) by what it is about."""
    found: State = {}
    for row in await db.fetch("SELECT type, reference FROM entities"):
        found[EntityKey(*row)] = ()
    for row in await db.fetch(
        "SELECT type, reference, key, (value -> 'value')::text, value ->> 'reference_date' "
        "FROM entities, jsonb_each(properties)"
    ):
        found[row[:3]] = (row[3], row[4], None)
    for row in await db.fetch(
        "SELECT l.type, l.reference, r.type, r.reference, relationship_type, metadata::text, metadata_date "
        "FROM edges JOIN entities l ON l.id = left_entity_id JOIN entities r ON r.id = right_entity_id "
        "WHERE removed_at IS NULL"
    ):
        # Without metadata the date is that of a removal, which an edge that stands again keeps for older metadata.
        found[row[:5]] = (row[5], row[5] and to_text(row[6]), None)
    for row in await db.fetch(
        "SELECT type, reference, key, granularity, period_start, t.value::text, reference_date, version "
        "FROM temporal_properties t JOIN entities e ON e.id = entity_id"
    ):
        found[row[:5]] = (row[5], to_text(row[6]), row[7])
    return found


def told(row: NamedTuple) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """A row as `state` would show it."""
    match row:
        case PropertyRow():
            return row[:3], (row.value, row.reference_date, None)
        case EdgeRow():
            return row[:5], (row.metadata, row.metadata and to_text(row.told_at), None)
        case TemporalRow():
            return row[:5], (row.value, to_text(row.reference_date), row.version)
    return tuple(row), ()


def differences(preview: Preview) -> list[Difference[Any]]:
    return [*preview.entities, *preview.properties, *preview.edges, *preview.temporal]


def predicted(before: State, preview: Preview) -> State:
    """The state after the write, going by the preview, whose old values are checked on the way."""
    after = dict(before)
    for difference in differences(preview):
        key, new = told(difference.row)
        if isinstance(difference.row, EdgeRow) and difference.outcome == "older" and key not in before:
            continue  # it was removed later than told, and stays removed
        assert (key in before) == (difference.outcome != "created"), difference
        stored = before.get(key)
        if stored in (None, ()) or stored[0] is None:
            assert difference.old is None
        else:
            old = difference.old
            assert old is not None
            assert (old.value, old.reference_date, old.version) == stored
        if difference.outcome in ("created", "changed"):
            after[key] = new
        elif difference.outcome == "older":
            assert stored is not None
            assert stored != new
        elif not isinstance(difference.row, EdgeRow) or difference.row.metadata is not None:
            assert stored == new
    return after


def named(batch: Batch, suffix: str) -> Batch:
    """The same rows about entities of this example alone."""
    return Batch(
        entities=[row._replace(reference=row.reference + suffix) for row in batch.entities],
        properties=[row._replace(reference=row.reference + suffix) for row in batch.properties],
        edges=[
            row._replace(
                left_reference=row.left_reference + suffix, right_reference=row.right_reference + suffix
            )
            for row in batch.edges
        ],
        temporal=[row._replace(reference=row.reference + suffix) for row in batch.temporal],
    )


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stored=BATCHES, batch=BATCHES, removed=st.none() | SECONDS)
async def test_the_write_does_what_the_preview_says(
    stores: Stores, db: Any, stored: Batch, batch: Batch, removed: int | None
) -> None:
    suffix = f"-{next(_RUN)}"
    await stores.writer.write(named(stored, suffix))
    if removed is not None:
        await db.execute("UPDATE edges SET removed_at = $1 WHERE left_entity_id % 2 = 0", at(removed))
    batch = named(batch, suffix)
    before = await state(db)
    preview = await stores.preview.preview(batch)
    assert await state(db) == before
    keys = [told(difference.row)[0] for difference in differences(preview)]
    assert len(keys) == len(set(keys))
    changes = await stores.writer.write(batch)
    assert await state(db) == predicted(before, preview)
    counts = [
        sum(d.outcome in ("created", "changed") for d in each)
        for each in (preview.entities, preview.properties, preview.edges, preview.temporal)
    ]
    assert counts == [
        changes.entities_created,
        changes.properties_changed,
        changes.edges_changed,
        changes.temporal_changed,
    ]


async def written(db: Any) -> tuple[Any, ...]:
    """Row versions, sequences, partitions and temporary tables: what any write would move."""
    return (
        await db.fetch(
            "SELECT 'e', xmin::text, id FROM entities UNION ALL SELECT 'r', xmin::text, id FROM edges "
            "UNION ALL SELECT 't', xmin::text, entity_id FROM temporal_properties ORDER BY 1, 3, 2"
        ),
        await db.fetch("SELECT sequencename, last_value FROM pg_sequences ORDER BY 1"),
        await db.fetchval("SELECT count(*) FROM pg_class"),
    )


async def test_writes_nothing(stores: Stores, db: Any) -> None:
    await stores.writer.write(
        Batch(properties=[prop("a", "f", "1")], edges=[edge("a", "b")], temporal=[point("a", "k", "1")])
    )
    batch = Batch(
        entities=[entity("new")],
        properties=[prop("a", "f", "2", 1), prop("new", "f", "1")],
        edges=[edge("a", "b", metadata="{}"), edge("b", "new")],
        temporal=[point("a", "k", "2", date=at(1)), point("a", "far", "1", date=at(5 * 31_536_000))],
    )
    before = await written(db)
    preview = await stores.preview.preview(batch)
    await stores.preview.now()
    assert {d.outcome for d in differences(preview)} == {"created", "changed"}
    assert await written(db) == before


@pytest.mark.parametrize("removed", [3, 7, 12])
async def test_a_removed_edge_that_comes_back_is_created(stores: Stores, db: Any, removed: int) -> None:
    await stores.writer.write(Batch(edges=[edge("a", "b", metadata="1")]))
    await db.execute("UPDATE edges SET removed_at = $1", at(removed))
    batch = Batch(edges=[edge("a", "b", metadata="2", seconds=5), edge("a", "b", seconds=10)])
    (difference,) = (await stores.preview.preview(batch)).edges
    await stores.writer.write(batch)
    row = await db.fetchrow("SELECT removed_at IS NULL AS stands, metadata FROM edges")
    assert (difference.outcome, difference.old) == ("created" if row["stands"] else "older", None)
    if row["stands"]:
        assert difference.row.metadata == row["metadata"]


async def test_ties_go_to_the_greater_text(stores: Stores) -> None:
    await stores.writer.write(Batch(properties=[prop("a", "f", '"m"'), prop("a", "g", '"m"')]))
    preview = await stores.preview.preview(
        Batch(
            properties=[
                prop("a", "f", '"b"'),
                prop("a", "f", '"z"'),
                prop("a", "g", '"b"'),
                prop("a", "g", '"c"'),
            ]
        )
    )
    assert [(d.row.field, d.row.value, d.outcome) for d in preview.properties] == [
        ("f", '"z"', "changed"),
        ("g", '"c"', "older"),
    ]


async def test_a_value_is_the_same_however_it_is_spelled(stores: Stores) -> None:
    await stores.writer.write(Batch(properties=[prop("a", "f", '{"b": 1, "a": 12345678901234567890.10}')]))
    preview = await stores.preview.preview(
        Batch(properties=[prop("a", "f", '{"a":12345678901234567890.10,"b":1}')])
    )
    (difference,) = preview.properties
    assert (difference.outcome, difference.row.value) == ("same", '{"a":12345678901234567890.10,"b":1}')
    assert difference.old is not None
    assert difference.old.value == '{"a": 12345678901234567890.10, "b": 1}'


@pytest.mark.parametrize("stored", [[], [prop("a", "f", "1")]])
async def test_refuses_what_the_write_refuses(stores: Stores, stored: list[PropertyRow]) -> None:
    await stores.writer.write(Batch(properties=stored))
    batch = Batch(properties=[prop("a", "f", "9" * 140_000, 1)])
    refusals = []
    for call in (stores.preview.preview, stores.writer.write):
        with pytest.raises(InvalidError) as caught:
            await call(batch)
        refusals.append((caught.value.code, str(caught.value)))
    assert refusals[0] == refusals[1]
