"""A tree is one reading of each entity: what it shows of an entity and where it goes from there belong together."""

import re
from collections.abc import Awaitable, Callable

import pytest

from app.core.clock import SystemClock
from app.core.selection import Selection
from storage.cache.refresh_ahead import Renewal
from storage.read.budget import Budget
from storage.read.reader import CachedGraphReader
from storage.read.repopulate import Refill
from storage.read.tree_cache import KeptTrees
from tests.unit.storage.fakes import nothing
from tests.unit.storage.read.fake_reads import KEYSPACE, World, value_of

_NODE = re.compile(rb'"id":(\d+),"type":"user","reference":"r\d+","properties":{"f":(\d+)}')
Answered = Callable[[CachedGraphReader, int], Awaitable[bytes]]


@pytest.fixture
def world() -> World:
    """1 → 2 → 3 → 1 and 1 → 5; caches hold none of them."""
    world = World()
    world.edges |= {1: [(0, [2, 5])], 2: [(0, [3])], 3: [(0, [1])]}
    world.level.mark_all(50)
    return world


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


def shown(body: bytes) -> dict[int, int]:
    """The value of each entity that a tree shows in full."""
    return {int(entity_id): int(value) for entity_id, value in _NODE.findall(body)}


async def one(reader: CachedGraphReader, token: int) -> bytes:
    answer = await reader.graph(1, depth=3, since=None, token=token)
    assert answer is not None
    return answer.body or b""


async def selected(reader: CachedGraphReader, token: int) -> bytes:
    selection = Selection(fields=None, types=frozenset({"knows"}), until=None)
    answer = await reader.graph(1, depth=3, since=None, token=token, selection=selection)
    assert answer is not None
    return answer.body or b""


async def batch(reader: CachedGraphReader, token: int) -> bytes:
    return (await reader.batch([1], depth=3, since=None, token=token)).body or b""


async def page(reader: CachedGraphReader, token: int) -> bytes:
    found = await reader.by_property("f", "100", depth=3, since=None, limit=5, after=0, token=token)
    return found.body or b""


async def change_root(world: World) -> int:
    """Another worker has 1 lead to 4 alone; this one hears of it later."""
    return (await world.commit_elsewhere(1, 101, [4])).position


@pytest.mark.parametrize("ask", [one, selected, batch, page])
async def test_a_deeper_read_replaces_nothing_that_a_tree_was_walked_from(
    world: World, reader: CachedGraphReader, ask: Answered
) -> None:
    await world.load(1)
    token = await change_root(world)
    before = shown(await ask(reader, 0))
    assert before == {1: 100, 2: 200, 3: 300, 5: 500}, "the old reading of 1 with its own edges"
    for _ in range(2):
        if ask is not page:  # which no longer lists it
            assert shown(await ask(reader, token)) == {1: 101, 4: 400}


@pytest.mark.parametrize("ask", [one, selected, batch, page])
async def test_a_tree_of_before_is_not_kept_beside_a_newer_entity(
    world: World, reader: CachedGraphReader, ask: Answered
) -> None:
    await world.load(1)
    await change_root(world)
    await ask(reader, 0)
    assert value_of(world.memory.get(1)) == 101  # type: ignore[arg-type]  # the deeper read left it there
    assert shown(await one(reader, 0)) == {1: 101, 4: 400}
    answer = reader.recall(1, depth=3, since=None)
    assert answer is not None
    assert shown(answer.body or b"") == {1: 101, 4: 400}


@pytest.mark.parametrize("ask", [one, selected, batch, page])
async def test_an_entity_that_was_missing_stays_missing_in_this_tree(
    world: World, reader: CachedGraphReader, ask: Answered
) -> None:
    """It is created while the tree is walked, and a deeper read meets it."""
    del world.history[5]
    world.edges[3] = [(0, [5])]
    await world.load(1, 2)

    reads = 0

    async def create() -> None:
        nonlocal reads
        reads += 1
        if reads < 2 and ask is page:  # of the list
            return
        world.source.after_read = nothing
        world.write(5, 500, [6])
        world.catch_up()

    world.source.after_read = create
    assert shown(await ask(reader, 0)) == {1: 100, 2: 200, 3: 300}
    assert shown(await one(reader, 0)) == {1: 100, 2: 200, 3: 300, 5: 500, 6: 600}


async def test_the_trees_of_a_batch_share_one_reading_of_each_entity(
    world: World, reader: CachedGraphReader
) -> None:
    del world.history[5]
    world.edges |= {7: [(0, [8])], 8: [(0, [5])]}
    await world.load(1, 2, 7)

    async def create() -> None:
        world.source.after_read = nothing
        world.write(5, 500, [6])
        world.catch_up()

    world.source.after_read = create
    for selection in (None, Selection(fields=None, types=frozenset({"knows"}), until=None)):
        answer = await reader.batch([1, 7], depth=3, since=None, selection=selection)
        answer_of_seven = (answer.body or b"").partition(b'{"id":7,')[2]
        if selection is None:
            assert b'"id":5,' not in answer_of_seven, "for 1 there was none"
        assert b'"id":5,"type":"user","reference":"r5","properties":{"f":500},"edges":[]' not in (
            answer.body or b""
        )


async def test_a_reading_is_never_given_another_reading_of_the_same_entity(world: World) -> None:
    reading = await world.load(1)
    first = reading.fragments[1]
    await world.commit(1, 101, [4])
    await world.fragments.load([1], 3, reading)
    await world.fragments.load([3], 3, reading, hints=[1])
    assert reading.fragments[1] is first
    assert set(reading.fragments) >= {1, 3}


@pytest.mark.parametrize("by", ["a refill", "a renewal"])
async def test_what_is_read_anew_in_the_background_ends_trees_that_lead_elsewhere(
    world: World, reader: CachedGraphReader, by: str
) -> None:
    assert shown(await one(reader, 0)) == {1: 100, 2: 200, 3: 300, 5: 500}
    refill = Refill(world.memory, world.fragments, world.clock)
    world.memory.when_dropped = lambda: None
    if by == "a refill":
        await world.commit(1, 101, [4])
        assert await refill.refill() == 1
    else:
        await change_root(world)
        held = world.memory.peek(1)
        other = World()
        other.history, other.edges, other.level = world.history, world.edges, world.level
        other.fragments._shared = world.fragments._shared
        other.fragments._source = world.source  # type: ignore[assignment]
        await other.load(1)
        world.clock.time += 55
        world.memory.get(1)
        await Renewal(world.memory, world.fragments._shared, KEYSPACE).renew()
        assert world.memory.peek(1) is not held
    answer = reader.recall(1, depth=3, since=None)
    assert answer is None or shown(answer.body or b"") == {1: 101, 4: 400}
    assert shown(await one(reader, 0)) == {1: 101, 4: 400}
