"""Fragments by the eight rules: where they are read, and when they are stored."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from app.core.errors import TransientError
from storage.cache.keyspace import CacheKey
from storage.postgres.read_queue import ReadQueue
from storage.postgres.replicas import ReadSource, Replica
from storage.read.outcome import Reading
from tests.unit.storage.fakes import Mark, nothing
from tests.unit.storage.read.fake_reads import KEYSPACE, Server, World, values


@pytest.fixture
async def world() -> World:
    return World()


async def test_memory_then_redis_then_postgresql(world: World) -> None:
    reading = await world.load(1)
    assert (values(reading, [1]), reading.outcome, reading.stored) == ([100], "miss", True)
    assert (world.of(1), world.remembered(1)) == ([100], [100])
    world.level.works = False
    assert (await world.load(1)).outcome == "hit"
    world.level.works = True
    world.memory.forget()
    reading = await world.load(1)
    assert (values(reading, [1]), reading.outcome) == ([100], "hit")
    assert world.remembered(1) == [100]
    assert len(world.source.asked) == 1


async def test_what_does_not_exist_is_known_not_to(world: World) -> None:
    reading = await world.load(1, 99)
    assert (reading.known, set(reading.fragments)) == ({1, 99}, {1})


async def test_a_walk_in_one_statement_leaves_a_hint_of_what_lies_below(world: World) -> None:
    reading = await world.load(1, levels=3)
    assert values(reading, [1, 2, 3]) == [100, 200, 300]
    assert [reading.fragments[i].below for i in (1, 2, 3)] == [((3,),), (), ()]
    world.memory.forget()
    assert (await world.load(1)).fragments[1].below == ((3,),)


async def test_a_hint_is_taken_from_redis_and_never_asked_of_postgresql(world: World) -> None:
    await world.load(2, 3)
    world.memory.forget()
    asked = len(world.source.asked)
    reading = Reading(token=0)
    await world.fragments.load([2], 0, reading, hints=[3, 4])
    assert (set(reading.fragments), reading.known, reading.outcome) == ({2, 3}, {2}, "hit")
    assert (world.remembered(2, 3, 4), len(world.source.asked)) == ([200, 300, None], asked)


# Rule 4: the position to reach.


async def test_a_missing_mark_becomes_the_primary_s_position_as_it_is_after_the_lease(world: World) -> None:
    async def commit() -> None:
        # Its invalidation finds neither a mark that is complete nor an entry.
        await world.commit(1, 101)

    world.level.after_lease = commit
    reading = await world.load(1)
    (asked,) = world.source.asked
    assert (values(reading, [1]), asked.on_primary) == ([101], True)
    assert asked.reach == world.source.primary.position
    assert world.level.marks == {KEYSPACE.fragment(1).group: Mark(world.source.primary.position)}
    assert world.source.positions_asked == 1


async def test_a_mark_that_is_there_is_all_that_has_to_be_reached(world: World) -> None:
    world.level.mark_all(40)
    world.advance()
    await world.load(1)
    (asked,) = world.source.asked
    assert (asked.reach, asked.on_primary, world.source.positions_asked) == (40, False, 0)


async def test_the_highest_mark_counts(world: World) -> None:
    world.level.mark_all(40)
    world.level.marks[2].position = 70
    world.level.marks[3].position = 60
    await world.load(1, 2, 3)
    assert [asked.reach for asked in world.source.asked] == [70]


async def test_marks_that_are_there_count_beside_one_that_is_missing(world: World) -> None:
    world.level.mark_all(0)
    del world.level.marks[1]
    world.level.marks[2].position = 1_000  # by a worker whose primary is further than ours was
    await world.load(1, 2)
    assert [asked.reach for asked in world.source.asked] == [1_000]
    assert world.level.marks[1] == Mark(100)


async def test_a_lagging_replica_is_not_read_after_an_invalidation(world: World) -> None:
    await world.load(1)
    await world.commit(1, 101)
    reading = await world.load(1)
    assert (values(reading, [1]), world.source.asked[-1].on_primary) == ([101], True)
    assert world.of(1) == [101]
    assert reading.fragments[1].position < world.source.primary.position


async def test_a_redis_that_restarted_brings_nothing_old_back(world: World) -> None:
    await world.load(1)
    await world.commit(1, 101)
    world.level.restart()
    world.memory.forget()
    assert values(await world.load(1), [1]) == [101]
    assert (world.of(1), world.remembered(1)) == ([101], [101])


# Rule 5: only over one's own lease, and never before the mark.


async def test_an_overtaken_fill_is_answered_and_not_stored(world: World) -> None:
    async def commit() -> None:
        await world.commit(1, 101)

    world.level.before_fill = commit
    reading = await world.load(1)
    assert (values(reading, [1]), reading.stored) == ([100], False)
    assert (world.of(1), world.remembered(1)) == ([None], [None])
    assert values(await world.load(1), [1]) == [101]


async def test_a_fill_that_another_worker_overtook_is_not_stored_in_redis(world: World) -> None:
    async def commit() -> None:
        await world.commit_elsewhere(1, 101)

    world.level.before_fill = commit
    reading = await world.load(1)
    assert (values(reading, [1]), reading.stored, world.of(1)) == ([100], False, [None])


async def test_an_overtaken_fill_is_not_remembered_though_redis_was_emptied(world: World) -> None:
    async def commit() -> None:
        world.source.after_read = nothing  # once
        await world.commit(1, 101)

    world.source.after_read = commit
    assert values(await world.load(1), [1]) == [100]
    assert (world.of(1), world.remembered(1)) == ([None], [None])


async def test_what_lies_below_comes_along_and_is_stored_with_it(world: World) -> None:
    reading = await world.load(1, levels=2)
    assert values(reading, [1, 2, 3]) == [100, 200, 300]
    assert len(world.source.asked) == 1
    assert (world.of(1, 2, 3), world.remembered(1, 2, 3)) == ([100, 200, 300], [100, 200, 300])


@pytest.mark.parametrize("marked", [True, False])
async def test_what_a_stale_replica_said_of_what_lies_below_is_read_again(world: World, marked: bool) -> None:
    world.level.mark_all(50)
    if not marked:
        del world.level.marks[2]
    await world.commit(2, 201)  # another group than that of 1
    reading = await world.load(1, levels=1)
    assert values(reading, [1, 2]) == [100, 201]
    assert [(asked.reach, asked.on_primary) for asked in world.source.asked] == [
        (50, False),
        (world.source.primary.position, True),
    ]
    assert (world.of(1, 2), world.remembered(1, 2)) == ([100, 201], [100, 201])


async def test_a_read_below_that_reached_exactly_its_mark_will_do(world: World) -> None:
    world.level.mark_all(50)
    world.level.marks[2].position = 100
    await world.load(1, levels=1)
    assert (len(world.source.asked), world.of(1, 2)) == (1, [100, 200])
    other = World()
    other.level.mark_all(50)
    other.level.marks[2].position = 101
    await other.load(1, levels=1)
    assert [asked.reach for asked in other.source.asked] == [50, 101]


async def test_what_lies_below_is_stored_over_its_own_lease_only(world: World) -> None:
    world.level.mark_all(50)

    async def commit() -> None:
        await world.commit_elsewhere(2, 201)

    world.level.before_fill = commit
    await world.load(1, levels=1)
    assert world.of(1, 2) == [100, None]


async def test_what_lies_below_and_is_in_redis_is_taken_from_there(world: World) -> None:
    await world.commit(2, 201)
    await world.load(2)
    world.memory.forget()
    world.level.marks[1] = Mark(50)
    reading = await world.load(1, levels=1)
    assert values(reading, [1, 2]) == [100, 201]
    assert world.source.asked[-1].on_primary is False


async def test_below_what_was_notified_nothing_is_read_along(world: World) -> None:
    await world.load(1, levels=1)
    await world.commit(1, 101)
    reading = await world.load(1, levels=1)
    assert set(reading.fragments) == {1}


# Rule 6 among requests of one process.


async def test_concurrent_misses_are_one_read(world: World) -> None:
    readings = await asyncio.gather(*(world.load(1) for _ in range(5)))
    assert [values(reading, [1]) for reading in readings] == [[100]] * 5
    assert len(world.source.asked) == 1


async def test_a_request_after_a_commit_does_not_join_the_read_before_it(world: World) -> None:
    later: list[asyncio.Task[Reading]] = []

    async def commit() -> None:
        world.source.after_read = nothing  # once
        await world.commit(1, 101)
        later.append(asyncio.create_task(world.load(1)))
        await asyncio.sleep(0.01)

    world.source.after_read = commit
    assert values(await world.load(1), [1]) == [100]
    reading = await later[0]
    assert values(reading, [1]) == [101]


async def test_while_the_channel_is_away_nothing_is_remembered(world: World) -> None:
    world.memory.lose()
    assert [(await world.load(1)).outcome for _ in range(2)] == ["miss", "hit"]
    assert world.remembered(1) == [None]


# Rule 8: tokens.


async def test_a_token_refuses_what_has_not_reached_it(world: World) -> None:
    world.level.mark_all(50)
    await world.load(1)
    token = world.write(1, 101).position  # nobody was told
    assert values(await world.load(1), [1]) == [100]
    assert values(await world.load(1, token=100), [1]) == [100]
    assert len(world.source.asked) == 1
    reading = await world.load(1, token=token)
    assert values(reading, [1]) == [101]
    asked = world.source.asked[-1]
    assert (asked.token, asked.on_primary) == (token, True)


@pytest.mark.parametrize("remembered", [True, False])
async def test_an_entry_below_the_token_is_not_used_in_either_level(world: World, remembered: bool) -> None:
    world.level.mark_all(50)
    await world.load(1)
    if not remembered:
        world.memory.forget()
    token = world.write(1, 101).position
    world.catch_up()
    reading = await world.load(1, token=token)
    assert (values(reading, [1]), reading.outcome) == ([101], "bypass")
    assert reading.fragments[1].position >= token


async def test_what_lies_below_has_to_reach_the_token_too(world: World) -> None:
    world.level.mark_all(50)
    await world.load(2)
    world.memory.forget()
    token = world.write(2, 201).position
    for _ in range(2):
        reading = await world.load(1, levels=1, token=token)
        assert values(reading, [1, 2]) == [100, 201]
        world.catch_up()


async def test_with_a_token_nobody_joins_a_read_without(world: World) -> None:
    world.level.mark_all(50)
    later: list[asyncio.Task[Reading]] = []

    async def ask_again() -> None:
        world.source.after_read = nothing  # once
        token = world.write(1, 101).position
        later.append(asyncio.create_task(world.load(1, token=token)))
        await asyncio.sleep(0.01)

    world.source.after_read = ask_again
    await world.load(1)
    assert values(await later[0], [1]) == [101]


async def test_a_slow_read_does_not_replace_what_a_later_one_left_in_memory(world: World) -> None:
    world.level.mark_all(50)

    async def with_token() -> None:
        world.source.after_read = nothing
        await world.load(1, token=world.write(1, 101).position)

    world.source.after_read = with_token
    assert values(await world.load(1), [1]) == [100]
    assert world.remembered(1) == [101]


async def test_upper_was_read_after_the_data(world: World) -> None:
    world.level.mark_all(50)
    reading = await world.load(1)
    assert (reading.fragments[1].position, reading.fragments[1].upper) == (100, 101)


# The primary or Redis is away.


@pytest.mark.parametrize("mark", [None, 111])
async def test_what_is_unverified_is_stored_nowhere(world: World, mark: int | None) -> None:
    if mark is not None:
        world.level.mark_all(mark)  # the replica is behind it
    world.source.primary_is_up = False
    reading = await world.load(1, levels=1)
    assert (values(reading, [1, 2]), reading.verified) == ([100, 200], False)
    assert (world.of(1, 2), world.remembered(1, 2)) == ([None, None], [None, None])


async def test_with_the_primary_down_a_replica_at_the_mark_is_as_good(world: World) -> None:
    world.level.mark_all(100)
    world.source.primary_is_up = False
    reading = await world.load(1)
    assert (reading.verified, reading.stored, world.of(1)) == (True, True, [100])


async def test_with_the_primary_down_what_nobody_reached_is_no_answer(world: World) -> None:
    world.source.primary_is_up = False
    with pytest.raises(TransientError):
        await world.load(1, token=101)


async def test_without_redis_the_primary_s_position_has_to_be_reached(world: World) -> None:
    world.level.works = False
    reading = await world.load(1, levels=1)
    assert (values(reading, [1, 2]), reading.outcome) == ([100, 200], "bypass")
    assert [asked.reach for asked in world.source.asked] == [world.source.primary.position]
    assert world.of(1, 2) == [None, None]


@pytest.mark.parametrize("below", [True, False])
async def test_what_redis_is_owed_is_read_at_the_primary_s_position(world: World, below: bool) -> None:
    world.level.works = False
    await world.pending.submit(await world.commit(2, 201))
    world.level.works = True
    world.level.mark_all(0)
    reading = await (world.load(1, levels=1) if below else world.load(2))
    assert (values(reading, [2]), reading.outcome) == ([201], "bypass")
    assert world.source.asked[-1].reach == world.source.primary.position
    assert world.of(1, 2) == [100 if below else None, None]
    await world.pending.close()


async def test_a_redis_that_fails_after_the_read_leaves_nothing_old_below(world: World) -> None:
    world.level.mark_all(50)
    world.write(2, 201)

    async def fail() -> None:
        world.source.after_read = nothing
        world.level.works = False

    world.source.after_read = fail
    reading = await world.load(1, levels=1)
    assert (values(reading, [1, 2]), reading.outcome) == ([100, 201], "bypass")
    assert [asked.reach for asked in world.source.asked] == [50, world.source.primary.position]


async def test_nobody_joins_a_read_with_a_token(world: World) -> None:
    """It may fail, where others are answered."""
    world.source.primary_is_up = False
    with_token, without = await asyncio.gather(
        world.load(1, token=101), world.load(1), return_exceptions=True
    )
    assert isinstance(with_token, TransientError)
    assert isinstance(without, Reading)
    assert (values(without, [1]), without.verified) == ([100], False)


async def test_a_read_begins_before_the_one_that_it_joins_has_landed(world: World) -> None:
    world.level.mark_all(50)
    began = asyncio.Event()

    async def held() -> None:
        world.source.after_read = nothing
        began.set()
        await asyncio.wait_for(second_asked.wait(), 5)

    second_asked = asyncio.Event()
    world.source.after_read = held
    first = asyncio.create_task(world.load(1))
    await began.wait()

    async def noted() -> None:
        second_asked.set()

    world.source.after_read = noted
    assert values(await world.load(1, 4), [1, 4]) == [100, 400]
    await first


async def test_who_meets_a_read_under_way_does_not_ask_redis(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.level.mark_all(50)
    asked: list[CacheKey] = []
    get = world.level.get

    async def noted(keys: Sequence[CacheKey]) -> list[bytes | None]:
        asked.extend(keys)
        return await get(keys)

    monkeypatch.setattr(world.level, "get", noted)
    later: list[asyncio.Task[Reading]] = []

    async def ask_again() -> None:
        world.source.after_read = nothing
        asked.clear()
        later.append(asyncio.create_task(world.load(1, 4)))
        await asyncio.sleep(0.01)

    world.source.after_read = ask_again
    await world.load(1)
    assert values(await later[0], [1, 4]) == [100, 400]
    assert asked == [KEYSPACE.fragment(4)]


async def test_what_was_read_is_in_memory_before_redis_has_it(world: World) -> None:
    world.level.mark_all(50)
    met: list[Reading] = []

    async def meanwhile() -> None:
        world.level.before_fill = nothing
        met.append(await world.load(1))

    world.level.before_fill = meanwhile
    await world.load(1)
    assert (values(met[0], [1]), met[0].outcome) == ([100], "hit")
    assert len(world.source.asked) == 1


async def test_what_is_overtaken_before_redis_has_it_does_not_stay_in_memory(world: World) -> None:
    world.level.mark_all(50)

    async def overtaken() -> None:
        world.level.before_fill = nothing
        await world.commit(1, 101)

    world.level.before_fill = overtaken
    await world.load(1)
    assert (world.of(1), world.remembered(1)) == ([None], [None])


async def test_a_token_does_not_make_a_fence(world: World) -> None:
    """A session that has seen little asks while the primary is down and Redis has lost its marks."""
    real = ReadSource(
        Pool(world.source.primary),  # type: ignore[arg-type]
        [Replica("replica", Pool(world.source.replica), world.clock)],  # type: ignore[arg-type]
        acquire_timeout_s=1,
        clock=world.clock,
        queue=ReadQueue(at_once=100, patience_s=60, clock=world.clock),
    )
    world.fragments._source = real
    world.fragments._shared._source = real
    await world.commit(1, 101)  # which the replica has not heard of
    world.level.restart()
    real._primary.up = False  # type: ignore[attr-defined]
    reading = await world.load(1, token=90)
    assert (values(reading, [1]), reading.verified) == ([100], False)
    assert (world.of(1), world.remembered(1)) == ([None], [None])


class Pool:
    """Of connections to one fake server."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.up = True

    @asynccontextmanager
    async def acquire(self, timeout: float = 0) -> AsyncIterator[Server]:  # noqa: ASYNC109 - asyncpg's signature
        if not self.up:
            raise ConnectionRefusedError(111, "refused")
        yield self._server
