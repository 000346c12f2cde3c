"""Look-ups by the eight rules: where they are read, and when they are stored."""

import asyncio
from typing import TYPE_CHECKING

import pytest

from app.core.errors import TransientError
from storage.cache.id_lists import IdList
from tests.unit.storage.fakes import Mark, nothing
from tests.unit.storage.read.fake_reads import KEY, KEYSPACE, World

if TYPE_CHECKING:
    from storage.read.outcome import Reading

NAME = KEYSPACE.reference(KEY)


@pytest.fixture
async def world() -> World:
    made = World()
    await made.commit(0, 5)
    made.catch_up()
    return made


def remembered(world: World) -> list[int] | None:
    found = world.memory.get(NAME.local)
    return found.ids if isinstance(found, IdList) else None


async def test_memory_then_redis_then_postgresql(world: World) -> None:
    entry, reading = await world.load_list()
    assert (entry.ids, reading.outcome, reading.stored) == ([5], "miss", True)
    assert (world.in_redis(NAME), remembered(world)) == (5, [5])
    assert (await world.load_list())[1].outcome == "hit"
    world.memory.forget()
    entry, reading = await world.load_list()
    assert (entry.ids, reading.outcome, remembered(world)) == ([5], "hit", [5])
    assert len(world.source.asked) == 1


async def test_a_missing_mark_becomes_the_primary_s_position_as_it_is_after_the_lease(world: World) -> None:
    async def commit() -> None:
        await world.commit(0, 6)

    world.level.after_lease = commit
    entry, _ = await world.load_list()
    (asked,) = world.source.asked
    assert (entry.ids, asked.reach, asked.on_primary) == ([6], world.source.primary.position, True)
    assert world.level.marks == {NAME.group: Mark(world.source.primary.position)}


async def test_a_lagging_replica_is_not_read_after_an_invalidation(world: World) -> None:
    await world.load_list()
    await world.commit(0, 6)
    entry, _ = await world.load_list()
    assert (entry.ids, world.in_redis(NAME), remembered(world)) == ([6], 6, [6])


async def test_an_overtaken_fill_is_answered_and_not_stored(world: World) -> None:
    async def commit() -> None:
        await world.commit(0, 6)

    world.level.before_fill = commit
    entry, reading = await world.load_list()
    assert (entry.ids, reading.stored) == ([5], False)
    assert (world.in_redis(NAME), remembered(world)) == (None, None)
    assert (await world.load_list())[0].ids == [6]


async def test_concurrent_misses_are_one_read(world: World) -> None:
    found = await asyncio.gather(*(world.load_list() for _ in range(5)))
    assert [entry.ids for entry, _ in found] == [[5]] * 5
    assert len(world.source.asked) == 1


async def test_a_request_after_a_commit_does_not_join_the_read_before_it(world: World) -> None:
    later: list[asyncio.Task[tuple[IdList, Reading]]] = []

    async def commit() -> None:
        world.source.after_read = nothing  # once
        await world.commit(0, 6)
        later.append(asyncio.create_task(world.load_list()))
        await asyncio.sleep(0.01)

    world.source.after_read = commit
    assert (await world.load_list())[0].ids == [5]
    assert (await later[0])[0].ids == [6]


@pytest.mark.parametrize("in_memory", [True, False])
async def test_an_entry_below_the_token_is_not_used_in_either_level(world: World, in_memory: bool) -> None:
    await world.load_list()
    if not in_memory:
        world.memory.forget()
    token = world.write(0, 6).position  # nobody was told
    assert (await world.load_list())[0].ids == [5]
    entry, reading = await world.load_list(token=token)
    assert (entry.ids, reading.outcome) == ([6], "bypass")
    assert (world.source.asked[-1].token, world.source.asked[-1].on_primary) == (token, True)
    assert reading.upper >= token


async def test_with_a_token_nobody_joins_a_read_without(world: World) -> None:
    later: list[asyncio.Task[tuple[IdList, Reading]]] = []

    async def ask_again() -> None:
        world.source.after_read = nothing  # once
        token = world.write(0, 6).position
        later.append(asyncio.create_task(world.load_list(token)))
        await asyncio.sleep(0.01)

    world.source.after_read = ask_again
    await world.load_list()
    assert (await later[0])[0].ids == [6]


@pytest.mark.parametrize("mark", [None, 1_000])
async def test_what_is_unverified_is_stored_nowhere(world: World, mark: int | None) -> None:
    if mark is not None:
        world.level.mark_all(mark)
    world.source.primary_is_up = False
    entry, reading = await world.load_list()
    assert (entry.ids, reading.verified, reading.stored) == ([5], False, False)
    assert (world.in_redis(NAME), remembered(world)) == (None, None)
    with pytest.raises(TransientError):
        await world.load_list(token=10_000)


async def test_without_redis_the_primary_s_position_has_to_be_reached(world: World) -> None:
    world.level.works = False
    world.write(0, 6)
    entry, reading = await world.load_list()
    assert (entry.ids, reading.outcome, reading.stored) == ([6], "bypass", False)
