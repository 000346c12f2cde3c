"""The writer on PostgreSQL: last writer wins, nothing is lost, nothing is written twice."""

import asyncio
import json
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest

from app.core.errors import InvalidError
from app.core.models import Batch, Lookup
from storage.stores import Stores
from tests.rows import at, edge, entity, point, prop, user

pytestmark = pytest.mark.integration


async def properties(db: Any, reference: str) -> str:
    found = await db.fetchval("SELECT properties::text FROM entities WHERE reference = $1", reference)
    assert isinstance(found, str)
    return found


async def insert_position(db: Any) -> int:
    position: int = await db.fetchval("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint")
    return position


async def test_creates_what_rows_name(stores: Stores, db: Any) -> None:
    changes = await stores.writer.write(
        Batch(
            entities=[entity("a")],
            properties=[prop("b", "name", '"B"')],
            edges=[edge("c", "d")],
            temporal=[point("e", "tpv", "1")],
        )
    )
    assert {row["reference"] for row in await db.fetch("SELECT reference FROM entities")} == set("abcde")
    assert changes.keys == {user(reference) for reference in "abcde"}
    assert changes.entities_created == 5
    assert (changes.properties_changed, changes.edges_changed, changes.temporal_changed) == (1, 1, 1)
    assert changes.lookups == {Lookup("name", "B")}
    assert len(changes.entities) == 5


async def test_the_last_writer_by_reference_date_wins_against_what_is_stored(stores: Stores, db: Any) -> None:
    await stores.writer.write(Batch(properties=[prop("a", "f", '"new"', 10)]))
    changes = await stores.writer.write(
        Batch(properties=[prop("a", "f", '"old"', 5), prop("a", "g", "1", 5)])
    )
    assert (changes.properties_changed, changes.lookups) == (1, {Lookup("g", "1")})
    changes = await stores.writer.write(Batch(properties=[prop("a", "f", '"newer"', 11)]))
    assert changes.lookups == {Lookup("f", "new"), Lookup("f", "newer")}
    stored = json.loads(await properties(db, "a"))
    assert stored["f"] == {"value": "newer", "reference_date": "2025-01-15T10:30:11.000000Z"}
    assert stored["g"]["value"] == 1


async def test_numbers_keep_every_digit_and_a_change_of_spelling_is_a_change(stores: Stores, db: Any) -> None:
    await stores.writer.write(
        Batch(properties=[prop("a", "n", "12345678901234567890.123"), prop("a", "m", "1")])
    )
    assert "12345678901234567890.123" in await properties(db, "a")
    changes = await stores.writer.write(Batch(properties=[prop("a", "m", "1.0")]))
    assert changes.properties_changed == 1
    assert '{"value": 1.0,' in await properties(db, "a")
    answer = await stores.reader.by_reference(user("a"), depth=1, since=None)
    assert answer is not None
    assert b"12345678901234567890.123" in answer.body


async def test_a_replayed_batch_of_ten_thousand_writes_no_wal(stores: Stores, db: Any) -> None:
    number = 2_500
    batch = Batch(
        entities=[entity(f"u{n}") for n in range(number)],
        properties=[prop(f"u{n}", "name", f'"N{n}"') for n in range(number)],
        edges=[edge(f"u{n}", f"u{n + 1}", metadata='{"role": "admin"}') for n in range(number)],
        temporal=[point(f"u{n}", "tpv", f"{n}.50") for n in range(number)],
    )
    assert (await stores.writer.write(batch)).edges_changed == number
    await stores.writer.write(batch)  # the first reader of new rows sets their hint bits
    written = []
    while not written or (min(written) > 0 and len(written) < 30):
        await asyncio.sleep(0.1)
        before = await insert_position(db)
        changes = await stores.writer.write(batch)
        # The position is the whole server's, so what others wrote meanwhile is in it.
        written.append(await insert_position(db) - before)
        assert not changes
        assert changes.position > 0
    assert min(written) == 0
    # test_footprint.py holds that a replay has no transaction id, whatever others do.


async def test_a_partial_change_writes_exactly_the_changed_rows(stores: Stores, db: Any) -> None:
    def batch(changed: set[int]) -> Batch:
        return Batch(
            properties=[prop(f"u{n}", "f", "2" if n in changed else "1", n in changed) for n in range(100)],
            temporal=[
                point(f"u{n}", "k", "2" if n in changed else "1", version=n in changed) for n in range(100)
            ],
        )

    await stores.writer.write(batch(set()))
    statement = (
        "SELECT 'e' || reference AS k, e.xmin::text FROM entities e UNION ALL "
        "SELECT 't' || e.reference, t.xmin::text FROM temporal_properties t JOIN entities e ON e.id = entity_id"
    )
    before = dict(await db.fetch(statement))
    changes = await stores.writer.write(batch({3, 7}))
    after = dict(await db.fetch(statement))
    assert {key for key in after if after[key] != before[key]} == {"eu3", "eu7", "tu3", "tu7"}
    assert (changes.properties_changed, changes.temporal_changed, len(changes.entities)) == (2, 2, 2)


async def test_metadata_of_an_edge_follows_the_records_time(stores: Stores, db: Any) -> None:
    async def stored() -> tuple[Any, ...]:
        return tuple(await db.fetchrow("SELECT metadata::text, metadata_date, removed_at FROM edges"))

    write = stores.writer.write
    await write(Batch(edges=[edge("a", "b", seconds=50)]))
    assert await stored() == (None, None, None)
    await write(Batch(edges=[edge("a", "b", metadata='{"v": 1}', seconds=10)]))
    assert await stored() == ('{"v": 1}', at(10), None)
    assert not await write(Batch(edges=[edge("a", "b", metadata='{"v": 0}', seconds=9)]))
    assert not await write(Batch(edges=[edge("a", "b", seconds=99)]))
    await write(Batch(edges=[edge("a", "b", metadata='{"v": 2}', seconds=10)]))
    assert await stored() == ('{"v": 2}', at(10), None)


async def test_only_a_later_record_brings_a_removed_edge_back(stores: Stores, db: Any) -> None:
    await stores.writer.write(Batch(edges=[edge("a", "b", metadata="1", seconds=10)]))
    await db.execute("UPDATE edges SET removed_at = $1", at(20))
    assert not await stores.writer.write(Batch(edges=[edge("a", "b", metadata="9", seconds=20)]))
    answer = await stores.reader.by_reference(user("a"), depth=1, since=None)
    assert answer is not None
    assert json.loads(answer.body)["edges"] == []
    changes = await stores.writer.write(Batch(edges=[edge("a", "b", seconds=21)]))
    assert changes.edges_changed == 1
    assert await db.fetchval("SELECT removed_at FROM edges") is None
    answer = await stores.reader.by_reference(user("a"), depth=1, since=None)
    assert answer is not None
    assert len(json.loads(answer.body)["edges"]) == 1


async def test_of_a_point_the_later_date_then_the_higher_version_wins(stores: Stores, db: Any) -> None:
    late = datetime(2025, 1, 31, tzinfo=UTC)
    write = stores.writer.write
    await write(Batch(temporal=[point("a", "k", "1", version=5)]))
    assert not await write(Batch(temporal=[point("a", "k", "9", version=4)]))
    await write(Batch(temporal=[point("a", "k", "2", version=6)]))
    await write(Batch(temporal=[point("a", "k", "3", date=late)]))
    assert not await write(Batch(temporal=[point("a", "k", "4", version=100)]))
    (row,) = await db.fetch("SELECT * FROM temporal_properties")
    entity_id = await db.fetchval("SELECT id FROM entities")
    assert (row["value"], row["reference_date"], row["version"]) == ("3", late, 0)
    assert row["idempotency_key"] == f"{entity_id}:k:month:2025-01"


async def test_concurrent_writers_lose_no_edge(stores: Stores, db: Any) -> None:
    """Five writers tell different edges among the same new entities."""

    async def writer(number: int) -> None:
        for turn in range(6):
            names = [f"u{turn}-{n}" for n in range(60)]
            rows = [edge(a, b, f"w{number}") for a, b in pairwise(names)]
            await stores.writer.write(Batch(edges=rows[::-1] if number % 2 else rows))

    await asyncio.gather(*map(writer, range(5)))
    assert await db.fetchval("SELECT count(*) FROM edges") == 5 * 6 * 59


async def test_concurrent_writers_of_the_same_fields_converge_and_report_true_old_values(
    stores: Stores, db: Any
) -> None:
    await stores.writer.write(Batch(properties=[prop(f"u{n}", "f", '"v0"') for n in range(50)]))
    versions = list(range(1, 17))

    async def writer(version: int) -> frozenset[Lookup]:
        order = range(50) if version % 2 else reversed(range(50))
        rows = [prop(f"u{n}", "f", f'"v{version}-{n}"', version) for n in order]
        return (await stores.writer.write(Batch(properties=rows))).lookups

    told = await asyncio.gather(*map(writer, versions))
    for n in range(50):
        assert json.loads(await properties(db, f"u{n}"))["f"]["value"] == f"v16-{n}"
    # Whatever was there at some time was named as new by its writer, and as old by the one after it.
    for n in range(50):
        new = [v for v, found in zip(versions, told, strict=True) if Lookup("f", f"v{v}-{n}") in found]
        for earlier in new[:-1]:
            named = [
                v for v, found in zip(versions, told, strict=True) if Lookup("f", f"v{earlier}-{n}") in found
            ]
            assert len(named) >= 2, (n, earlier, named)


@pytest.mark.parametrize("value", [r'"\u0000"', "1e200000", "{"])
async def test_refuses_what_can_not_be_stored_without_quoting_it(stores: Stores, value: str) -> None:
    with pytest.raises(InvalidError) as caught:
        await stores.writer.write(Batch(properties=[prop("a", "f", value)]))
    assert value not in str(caught.value)
    with pytest.raises(InvalidError):
        await stores.writer.write(Batch(temporal=[point("a", "k", "1", version=2**70)]))
    with pytest.raises(InvalidError):
        await stores.writer.write(Batch(entities=[entity("\ud800")]))
    await stores.writer.write(Batch(properties=[prop("a", "f", "1")]))


async def test_the_clock_is_the_primarys(stores: Stores, db: Any) -> None:
    assert abs((await stores.writer.now() - await db.fetchval("SELECT now()")).total_seconds()) < 5
