"""Removed edges and properties: what is told before stays out, in any order; what is told after comes back."""

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.core.dates import to_text
from app.core.models import Batch, EdgeRow, PropertyRow, RemovedEdge
from app.core.preview import Difference, Stored
from storage.stores import Stores
from tests.rows import DAY0, at, edge, entity, prop, user

pytestmark = pytest.mark.integration

KNOWS = RemovedEdge("user", "a", "user", "b", "knows")
REMOVE = Batch(removed_edges=[KNOWS])


def gone(seconds: int, field: str = "f") -> PropertyRow:
    return PropertyRow("user", "a", field, None, to_text(at(seconds)), DAY0)


async def edges(db: Any) -> list[tuple[Any, ...]]:
    rows = await db.fetch(
        "SELECT l.reference, r.reference, metadata::text, removed_at IS NULL FROM edges "
        "JOIN entities l ON l.id = left_entity_id JOIN entities r ON r.id = right_entity_id ORDER BY 1, 2"
    )
    return [tuple(row) for row in rows]


async def properties(db: Any) -> str:
    found: str = await db.fetchval("SELECT properties::text FROM entities WHERE reference = 'a'")
    return found


async def body_of(stores: Stores, reference: str = "a") -> bytes:
    token = await stores.position()
    answer = await stores.reader.by_reference(user(reference), depth=1, since=None, token=token or 0)
    assert answer is not None
    assert answer.body is not None
    return answer.body


async def found(stores: Stores, value: str) -> bytes:
    answer = await stores.reader.by_property("f", value, depth=1, since=None, limit=10, after=0)
    assert answer.body is not None
    return answer.body


async def test_a_removed_edge_is_dated_by_the_primary_and_out_of_answers(stores: Stores, db: Any) -> None:
    await stores.writer.write(Batch(edges=[edge("a", "b", metadata='{"x": 1}'), edge("a", "c")]))
    assert await body_of(stores) == await body_of(stores)
    before = await stores.writer.now()
    changes = await stores.writer.write(REMOVE)
    assert changes.edges_changed == 1
    assert b'"reference":"b"' not in await body_of(stores)
    assert b'"reference":"c"' in await body_of(stores)
    removed_at = await db.fetchval("SELECT removed_at FROM edges WHERE removed_at IS NOT NULL")
    assert before < removed_at < await stores.writer.now()


async def test_records_not_later_than_a_removal_do_not_bring_the_edge_back(stores: Stores, db: Any) -> None:
    await stores.writer.write(Batch(edges=[edge("a", "b")]))
    await stores.writer.write(REMOVE)
    removed_at = await db.fetchval("SELECT removed_at FROM edges")
    for metadata in (None, '{"x": 1}'):
        same_time = edge("a", "b", metadata=metadata)._replace(told_at=removed_at)
        assert not await stores.writer.write(Batch(edges=[same_time]))
    assert await edges(db) == [("a", "b", None, False)]
    later = removed_at + timedelta(microseconds=1)
    await stores.writer.write(Batch(edges=[edge("a", "b")._replace(told_at=later)]))
    assert await edges(db) == [("a", "b", None, True)]
    # What was told before the removal does not slip in behind the edge that came back.
    assert not await stores.writer.write(Batch(edges=[edge("a", "b", metadata='{"old": 1}')]))
    assert await edges(db) == [("a", "b", None, True)]


async def test_an_edge_that_was_never_told_is_noted_where_its_ends_exist(stores: Stores, db: Any) -> None:
    await stores.writer.write(REMOVE)
    assert await db.fetchval("SELECT count(*) FROM entities") == 0, "a removal makes nobody"
    await stores.writer.write(Batch(entities=[entity("a"), entity("b")]))
    await stores.writer.write(REMOVE)
    assert not await stores.writer.write(Batch(edges=[edge("a", "b")]))
    assert await edges(db) == [("a", "b", None, False)]


async def test_removed_again_is_dated_again(stores: Stores, db: Any) -> None:
    await stores.writer.write(Batch(edges=[edge("a", "b")]))
    await stores.writer.write(REMOVE)
    between = await stores.writer.now()
    await stores.writer.write(REMOVE)
    assert not await stores.writer.write(Batch(edges=[edge("a", "b")._replace(told_at=between)]))


async def test_what_the_same_batch_tells_is_older_than_its_removals(stores: Stores, db: Any) -> None:
    now = await stores.writer.now()
    told: list[EdgeRow] = [edge("a", "b")._replace(told_at=now), edge("a", "c")._replace(told_at=now)]
    await stores.writer.write(Batch(edges=told, removed_edges=[KNOWS, KNOWS]))
    assert await edges(db) == [("a", "b", None, False), ("a", "c", None, True)]


@pytest.mark.parametrize(
    ("rows", "stays"),
    [
        ([prop("a", "f", "1", 0), gone(1), prop("a", "f", "2", 2)], '"value": 2'),
        ([prop("a", "f", "1", 0), prop("a", "f", "2", 1), gone(2)], '"removed": true'),
        ([prop("a", "f", "1", 1), prop("a", "f", '"~~"', 1), gone(1)], '"removed": true'),
        ([gone(1), gone(2), prop("a", "f", "null", 1)], '"removed": true'),
        ([gone(0), prop("a", "f", "null", 1)], '"value": null'),
    ],
)
async def test_the_last_by_date_wins_in_any_order_and_of_equal_dates_the_removal(
    stores: Stores, db: Any, rows: list[PropertyRow], stays: str
) -> None:
    outcomes = set()
    for order in itertools.permutations(rows):
        for batches in ([[row] for row in order], [order]):
            await db.execute("TRUNCATE entities CASCADE")
            for batch in batches:
                await stores.writer.write(Batch(properties=list(batch)))
            outcomes.add(await properties(db))
            assert not await stores.writer.write(Batch(properties=list(order))), "a replay changes nothing"
    (outcome,) = outcomes
    assert stays in outcome


async def test_a_removed_property_is_in_no_answer_and_matches_nothing(stores: Stores) -> None:
    await stores.writer.write(
        Batch(properties=[prop("a", "f", '"old"'), prop("a", "g", "12345678901234567890.10")])
    )
    assert b'"value": "old"' in await body_of(stores)
    assert b'"reference":"a"' in await found(stores, "old")
    changes = await stores.writer.write(Batch(properties=[gone(1)]))
    assert changes.properties_changed == 1
    body = await body_of(stores)
    assert b"removed" not in body
    assert b'"f"' not in body
    assert b"12345678901234567890.10" in body
    assert await found(stores, "old") == b"[]"
    assert await found(stores, "true") == b"[]"
    await stores.writer.write(Batch(properties=[prop("a", "f", '"new"', 2)]))
    assert b'"value": "new"' in await body_of(stores)
    assert b'"reference":"a"' in await found(stores, "new")


async def test_a_value_that_looks_like_a_removal_is_a_value(stores: Stores) -> None:
    value = '{"removed": true, "reference_date": "2025-01-01T00:00:00.000000Z"}'
    await stores.writer.write(Batch(properties=[prop("a", "f", value), gone(0, "g")]))
    body = await body_of(stores)
    assert value.encode() in body
    assert b'"g"' not in body


async def test_the_preview_says_what_a_removal_does(stores: Stores, db: Any) -> None:
    never = KNOWS._replace(right_reference="nobody")
    batch = Batch(properties=[gone(1), gone(1, "older"), gone(1, "new")], removed_edges=[KNOWS, never])
    await stores.writer.write(
        Batch(
            edges=[edge("a", "b", metadata='{"x": 1}')],
            properties=[prop("a", "f", "1"), prop("a", "older", "2", 2)],
        )
    )
    preview = await stores.preview.preview(batch)
    assert {d.row.field: (d.outcome, d.old) for d in preview.properties} == {
        "f": ("removed", Stored(value="1", reference_date=to_text(at(0)))),
        "new": ("removed", None),
        "older": ("older", Stored(value="2", reference_date=to_text(at(2)))),
    }
    assert preview.removed_edges == [
        Difference(row=KNOWS, outcome="removed", old=Stored(value='{"x": 1}', reference_date=to_text(at(0)))),
        Difference(row=never, outcome="same"),
    ]
    assert '"removed"' not in await properties(db)
    await stores.writer.write(batch)
    after = await stores.preview.preview(batch)
    assert {d.row.field: (d.outcome, d.old) for d in after.properties}["f"] == (
        "same",
        Stored(value=None, reference_date=to_text(at(1))),
    )
    assert {d.outcome for d in after.removed_edges} == {"same"}


async def test_a_removal_does_not_take_an_erased_entity_for_a_new_one(stores: Stores, db: Any) -> None:
    await stores.writer.write(Batch(edges=[edge("a", "b")._replace(told_at=datetime.now(UTC))]))
    assert await stores.eraser.erase(user("b")) is not None
    await stores.writer.write(REMOVE)
    assert [row["reference"] for row in await db.fetch("SELECT reference FROM entities")] == ["a"]
