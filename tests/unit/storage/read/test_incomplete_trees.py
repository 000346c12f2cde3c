"""A tree that was read while something of it was unknown is answered, and never remembered."""

import pytest

from app.core.clock import SystemClock
from app.core.models import Changes
from app.ports.graph import Answer
from storage.read.budget import Budget
from storage.read.reader import CachedGraphReader
from storage.read.tree_cache import KeptTrees
from tests.unit.storage.read.fake_reads import KEYSPACE, World


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def reader(world: World) -> CachedGraphReader:
    kept = KeptTrees(world.memory, world.clock, max_bytes=1 << 20)
    return CachedGraphReader(
        world.fragments,
        world.lists,
        kept,
        KEYSPACE,
        SystemClock(),
        budget=Budget(nodes=100),
        retention_months=None,
    )


async def of_root(reader: CachedGraphReader) -> Answer:
    answer = await reader.graph(1, depth=3, since=None)
    assert answer is not None
    return answer


def shows(answer: Answer | None, entity_id: int) -> bool:
    assert answer is not None
    return b'"reference":"r%d"' % entity_id in (answer.body or b"")


async def test_an_entity_that_a_replica_lacked_is_there_once_it_is_told_of(
    world: World, reader: CachedGraphReader
) -> None:
    """2 is created, then the edge from 1 to it; of the edge everybody hears first."""
    world.history[2] = [(120, 200)]
    world.source.primary.position = 130
    world.level.mark_all(50)
    world.level.marks[KEYSPACE.fragment(1).group].position = 126
    await world.load(1)
    assert not shows(await of_root(reader), 2)
    world.catch_up()
    await world.invalidator.invalidate(Changes(position=130, entities=frozenset({2})))
    answer = await of_root(reader)
    assert shows(answer, 2)
    assert answer.cache == "miss"
    assert shows(reader.recall(1, depth=3, since=None), 2)


async def test_what_nobody_could_verify_stays_unverified(world: World, reader: CachedGraphReader) -> None:
    world.history[2] = [(120, 200)]
    world.source.primary.position = 130
    world.level.mark_all(131)
    world.source.primary.position = 140
    await world.load(1)
    world.source.primary_is_up = False
    for _ in range(2):
        answer = await of_root(reader)
        assert (answer.verified, shows(answer, 2)) == (False, False)
    assert reader.recall(1, depth=3, since=None) is None
    world.source.primary_is_up = True
    world.catch_up()
    answer = await of_root(reader)
    assert (answer.verified, shows(answer, 2)) == (True, True)
