"""Graphs with many paths or one hub cost their nodes and edges: set semantics, and a budget that says what it cut."""

import json
import time
from collections import Counter
from itertools import pairwise
from typing import Any

import asyncpg
import pytest

from app.config.settings import Settings
from app.core.models import Batch, EntityKey
from storage.postgres.replicas import ReadSource
from storage.stores import Stores
from tests.rows import edge

pytestmark = pytest.mark.integration

_HUB = 100_000
_GENEROUS_S = 60.0  # by paths the first graph would take 10^10 steps


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often PostgreSQL was asked."""
    count: Counter[str] = Counter()
    original = ReadSource.read

    async def counted(self: ReadSource, *args: Any, **kwargs: Any) -> Any:
        count["reads"] += 1
        return await original(self, *args, **kwargs)

    monkeypatch.setattr(ReadSource, "read", counted)
    return count


def entities(tree: dict[str, Any]) -> list[dict[str, Any]]:
    """All that a tree shows, stubs too."""
    return [tree, *(found for each in tree.get("edges", ()) for found in entities(each["entity"]))]


async def test_ten_layers_of_ten_that_are_all_connected(
    stores: Stores, settings: Settings, reads: Counter[str]
) -> None:
    layers = [[f"l{level}-{n}" for n in range(10)] for level in range(10)]
    await stores.writer.write(
        Batch(
            edges=[
                *(edge("root", first) for first in layers[0]),
                *(
                    edge(left, right)
                    for upper, lower in pairwise(layers)
                    for left in upper
                    for right in lower
                ),
            ]
        )
    )
    # A process that has not just heard of all of it, as the writer's has, which looks for what changed alone.
    other = await Stores.open(settings)
    try:
        started = time.monotonic()
        answer = await other.reader.by_reference(EntityKey("user", "root"), depth=10, since=None)
        took_s = time.monotonic() - started
    finally:
        await other.close()
    assert answer is not None
    shown = entities(json.loads(answer.body or b""))
    assert len({each["reference"] for each in shown if not each.get("repeated")}) == 101
    assert len(shown) == 1 + 10 + 9 * 100  # each edge once
    # One for the reference, one for the whole tree, and again what changed meanwhile; none for each of ten levels.
    asked = reads["reads"]
    assert asked <= 4
    assert took_s < _GENEROUS_S
    again = await stores.reader.by_reference(EntityKey("user", "root"), depth=10, since=None)
    assert again is not None
    assert (again.body, again.cache, reads["reads"]) == (answer.body, "hit", asked)


async def test_a_hub_of_a_hundred_thousand_edges_answers_within_the_budget(
    stores: Stores, settings: Settings, reads: Counter[str]
) -> None:
    await stores.writer.write(Batch(edges=[edge("hub", "leaf"), edge("leaf", "hub")]))
    connection = await asyncpg.connect(settings.postgres_dsn.get_secret_value())
    try:
        await connection.execute(
            "INSERT INTO entities (type, reference) SELECT 'user', 'x' || n FROM generate_series(1, $1::int) n",
            _HUB - 1,
        )
        await connection.execute(
            "INSERT INTO edges (left_entity_id, right_entity_id, relationship_type) "
            "SELECT h.id, e.id, 'knows' FROM entities h, entities e "
            "WHERE h.reference = 'hub' AND e.reference LIKE 'x%'"
        )
        await connection.execute("ANALYZE")
    finally:
        await connection.close()
    await stores.cache.drop_all()
    started = time.monotonic()
    answer = await stores.reader.by_reference(EntityKey("user", "hub"), depth=3, since=None)
    took_s = time.monotonic() - started
    assert answer is not None
    tree = json.loads(answer.body or b"")
    assert tree["truncated"] == {"edges_total": _HUB}
    shown = [each for each in entities(tree) if not each.get("repeated")]
    assert len(shown) == settings.graph_node_budget
    assert took_s < _GENEROUS_S
