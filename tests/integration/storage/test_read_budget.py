"""What one statement brings of entities that weigh much, and what the trees of such entities show."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from app.config.settings import Settings
from app.core.models import Batch, TemporalRow
from storage.read import graph_queries
from storage.read.budget import Budget
from storage.stores import Stores
from tests.rows import DAY0, edge, point, prop, user

pytestmark = pytest.mark.integration


def days(reference: str, count: int, value: str = "1") -> list[TemporalRow]:
    dates = [DAY0 + timedelta(days=n) for n in range(count)]
    return [
        point(reference, f"k{n % 2}", value, granularity="day", date=date) for n, date in enumerate(dates)
    ]


async def test_of_an_entity_the_latest_points_are_read(settings: Settings) -> None:
    stores = await Stores.open(settings.model_copy(update={"graph_points_of_entity": 6}))
    try:
        await stores.writer.write(Batch(temporal=[*days("a", 10), *days("b", 6)]))
        trees = []
        for reference in "ab":
            answer = await stores.reader.by_reference(user(reference), depth=1, since=None)
            assert answer is not None
            trees.append(json.loads(answer.body))
        cut, whole = trees
        assert cut["truncated"] == {"points_total": 10}
        assert "truncated" not in whole
        dates = [[each["reference_date"] for each in cut["temporal_data"][key]] for key in ("k0", "k1")]
        latest = [(DAY0 + timedelta(days=n)).isoformat()[:10] for n in range(4, 10)]
        assert [date[:10] for date in dates[0]] == latest[::2]
        assert [date[:10] for date in dates[1]] == latest[1::2]
    finally:
        await stores.close()


async def test_a_statement_brings_about_as_many_bytes_as_it_may(stores: Stores, settings: Settings) -> None:
    text = json.dumps("x" * 5_000)
    names = [f"n{n}" for n in range(20)]
    await stores.writer.write(
        Batch(
            properties=[prop(name, "f", text) for name in names],
            edges=[edge("n0", name) for name in names[1:]],
            temporal=[p for name in names[:2] for p in days(name, 8, text)],
        )
    )
    keys = await stores.directory.types_of(names)
    assert len(keys) == 20
    ids = []
    for name in names:
        found = await stores.reader.by_reference(user(name), depth=1, since=None)
        assert found is not None
        ids.append(json.loads(found.body)["id"])
    budget = Budget(nodes=100, size_bytes=60_000, points_of_entity=100)
    read = await stores._source.read_primary(graph_queries.graph(ids, levels=2, budget=budget))
    rows, unread, is_cut = read.result
    shown = {row["id"] for row in rows}
    assert is_cut
    assert 1 <= len(rows) < 15
    assert unread == frozenset(ids) - shown
    # The points of one entity have half of it, as text and not as it is stored.
    fat = next(row for row in rows if row["points"])
    assert sum(map(len, fat["points"])) <= 30_000
    assert fat["points_total"] == 8
    everything = replace(budget, size_bytes=10_000_000)
    whole = await stores._source.read_primary(graph_queries.graph(ids[:1], levels=2, budget=everything))
    assert (len(whole.result.rows), whole.result.unread, whole.result.is_cut) == (20, frozenset(), False)


async def test_what_one_statement_has_no_room_for_the_next_one_brings(settings: Settings) -> None:
    text = json.dumps("x" * 3_000)
    names = [f"m{n}" for n in range(12)]
    stores = await Stores.open(settings.model_copy(update={"graph_byte_budget": 60_000}))
    small = graph_queries.STATEMENT_BYTES
    try:
        await stores.writer.write(
            Batch(
                properties=[prop(name, "f", text) for name in names],
                edges=[edge("m0", name) for name in names[1:]],
            )
        )
        graph_queries.STATEMENT_BYTES = 8_000  # type: ignore[misc]
        answer = await stores.reader.by_reference(user("m0"), depth=1, since=None)
        assert answer is not None
        tree = json.loads(answer.body)
        assert len(tree["edges"]) == 11
        assert "truncated" not in tree
    finally:
        graph_queries.STATEMENT_BYTES = small  # type: ignore[misc]
        await stores.close()
