"""How often a tree that Redis holds asks for it, whatever memory keeps."""

import json
from collections.abc import Sequence

import pytest

from app.core.clock import SystemClock
from storage.cache.keyspace import CacheKey
from storage.read.budget import Budget
from storage.read.reader import CachedGraphReader
from storage.read.tree_cache import KeptTrees
from tests.unit.storage.read.fake_reads import KEYSPACE, World


class Trips:
    """A reader whose tree is in Redis, and the ids that each round trip asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.world = World()
        self.asked: list[list[int | bytes]] = []
        whole = self.world.level.get

        async def get(keys: Sequence[CacheKey]) -> list[bytes | None]:
            self.asked.append([key.local for key in keys])
            return await whole(keys)

        monkeypatch.setattr(self.world.level, "get", get)
        self.reader = self.started()

    def started(self) -> CachedGraphReader:
        kept = KeptTrees(self.world.memory, self.world.clock, max_bytes=1 << 20)
        return CachedGraphReader(
            self.world.fragments,
            self.world.lists,
            kept,
            KEYSPACE,
            SystemClock(),
            budget=Budget(nodes=100),
            retention_months=None,
        )

    async def read(self, depth: int) -> tuple[int, list[list[int | bytes]]]:
        """How many entities the answer shows, and what was asked for it."""
        self.asked.clear()
        answer = await self.reader.graph(1, depth=depth, since=None)
        assert answer is not None
        assert answer.body is not None
        node, shown = json.loads(answer.body), 0
        while node is not None:
            node, shown = (node["edges"][0]["entity"] if node["edges"] else None), shown + 1
        return shown, self.asked.copy()


@pytest.fixture
async def trips(monkeypatch: pytest.MonkeyPatch) -> Trips:
    """Read once, so that Redis holds the tree, by a process that has gone."""
    trips = Trips(monkeypatch)
    assert (await trips.read(10))[0] == 3
    trips.world.memory.lose()
    trips.reader = trips.started()
    return trips


async def test_a_new_process_needs_two(trips: Trips) -> None:
    trips.world.memory.restore()
    assert await trips.read(10) == (3, [[1], [2, 3]])


async def test_where_memory_keeps_nothing_a_hint_is_not_asked_for_again(trips: Trips) -> None:
    assert await trips.read(10) == (3, [[1], [2, 3]])


async def test_a_tree_that_was_walked_before_needs_one(trips: Trips) -> None:
    await trips.read(10)
    assert await trips.read(10) == (3, [[1, 2, 3]])


async def test_no_level_is_asked_for_that_is_not_shown(trips: Trips) -> None:
    await trips.read(10)
    assert await trips.read(1) == (2, [[1, 2]])
