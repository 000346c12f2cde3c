"""Which server answers, on servers that are a position and a name."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from prometheus_client import REGISTRY

from app.core.errors import BusyError, FatalError, TooDearError, TransientError
from storage.postgres import replicas
from storage.postgres.positioned import Reached, moment
from storage.postgres.queries import query
from storage.postgres.read_queue import ReadQueue
from storage.postgres.replicas import COOLDOWN_S, Read, ReadSource, Replica
from tests.unit.storage.fakes import ManualClock


class Server:
    """A pool and its connection in one."""

    def __init__(self, name: str, position: int) -> None:
        self.name = name
        self.position = position
        self.up = True
        self.hangs = False
        self.is_full = False  # all connections are in use
        self.asked = 0

    @asynccontextmanager
    async def acquire(self, timeout: float = 0) -> AsyncIterator["Server"]:  # noqa: ASYNC109 - asyncpg's signature
        if not self.up:
            raise ConnectionRefusedError(111, "refused")
        if self.hangs or self.is_full:
            await asyncio.Event().wait()
        self.asked += 1
        yield self

    def get_size(self) -> int:
        return 8 if self.is_full else 1

    def get_max_size(self) -> int:
        return 8

    async def fetchval(self, text: str) -> int:
        assert text == query("wal_position")
        return self.position


async def ask(connection: Any, least: int) -> Reached[str] | None:
    if connection.position < least:
        return None
    return Reached(connection.name, connection.position, connection.position + 1)


def of(name: str, position: int, *, verified: bool = True) -> Read[str]:
    on_primary = name == "primary"
    return Read(
        result=name,
        position=position - on_primary,
        upper=position + 1,
        on_primary=on_primary,
        verified=verified,
    )


class World:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.primary, self.one, self.two = Server("primary", 100), Server("one", 100), Server("two", 100)
        self.source = ReadSource(
            self.primary,  # type: ignore[arg-type]
            [Replica(s.name, s, self.clock) for s in (self.one, self.two)],  # type: ignore[arg-type]
            acquire_timeout_s=1,
            clock=self.clock,
            queue=ReadQueue(at_once=100, patience_s=60, clock=self.clock),
        )


@pytest.fixture
def world() -> World:
    return World()


async def test_a_hanging_primary_costs_one_question_its_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replicas, "POSITION_TIMEOUT_S", 0.05)
    world.primary.hangs = True
    async with asyncio.timeout(0.5):
        assert await world.source.position() is None
        for _ in range(20):
            assert await world.source.position() is None
    world.primary.hangs = False
    world.clock.time = COOLDOWN_S
    assert await world.source.position() == 100


async def test_replicas_that_reached_it_take_turns(world: World) -> None:
    assert {(await world.source.read(ask, 100)).result for _ in range(2)} == {"one", "two"}
    world.one.position = 99
    assert [await world.source.read(ask, 100) for _ in range(3)] == [of("two", 100)] * 3
    assert {(await world.source.read(ask, 99)).result for _ in range(2)} == {"one", "two"}


async def test_a_token_has_to_be_reached_too(world: World) -> None:
    world.one.position = 101
    assert [await world.source.read(ask, 50, token=101) for _ in range(2)] == [of("one", 101)] * 2


async def test_where_no_replica_reached_it_the_primary_answers_one_position_back(world: World) -> None:
    world.one.position = world.two.position = 99
    assert await world.source.read(ask, 100) == of("primary", 100)


async def test_a_replica_gets_a_moment_to_catch_up(world: World) -> None:
    world.one.position = world.two.position = 99
    asyncio.get_running_loop().call_later(0.001, setattr, world.one, "position", 100)
    asyncio.get_running_loop().call_later(0.001, setattr, world.two, "position", 100)
    assert (await world.source.read(ask, 100)).result in ("one", "two")


async def test_a_replica_that_is_down_is_left_out_for_a_while(world: World) -> None:
    world.one.up = False
    assert [(await world.source.read(ask, 1)).result for _ in range(3)] == ["two"] * 3
    world.one.up, world.two.up = True, False
    assert (await world.source.read(ask, 1)).result == "primary"
    world.clock.time = COOLDOWN_S
    assert (await world.source.read(ask, 1)).result == "one"


def dear(answers: str | None) -> Any:
    """A question that only the server of this name answers in its time."""

    async def ask_much(connection: Any, least: int) -> Reached[str] | None:
        connection.questions = getattr(connection, "questions", 0) + 1
        if connection.name != answers:
            raise asyncpg.QueryCanceledError("canceling statement due to statement timeout")
        return await ask(connection, least)

    return ask_much


async def test_an_expensive_question_is_no_outage(world: World) -> None:
    for _ in range(3):
        assert (await world.source.read(dear("primary"), 1)).result == "primary"
        with pytest.raises(TooDearError, match="Ask for less"):
            await world.source.read(dear(None), 1)
    # The others have theirs all the time, from each server; and each dear question was asked twice.
    assert {(await world.source.read(ask, 1)).result for _ in range(4)} == {"one", "two"}
    assert world.source.primary_answers
    asked = [server.questions for server in (world.primary, world.one, world.two)]  # type: ignore[attr-defined]
    assert asked[0] == asked[1] + asked[2] == 6


async def test_with_the_primary_down_the_most_advanced_replica_answers_unverified(world: World) -> None:
    world.primary.up, world.one.position = False, 90
    assert await world.source.position() is None
    assert await world.source.read(ask, None) == of("two", 100, verified=False)
    assert await world.source.read(ask, 101) == of("two", 100, verified=False)
    assert await world.source.read(ask, 95) == of("two", 100)


async def test_a_token_that_nobody_reached_is_no_answer(world: World) -> None:
    world.primary.up = False
    with pytest.raises(TransientError):
        await world.source.read(ask, 1, token=101)
    # Who asked for the token gets it; what others wrote since is not known.
    assert await world.source.read(ask, None, token=100) == of("two", 100, verified=False)
    assert await world.source.read(ask, 95, token=100) == of("one", 100)


@pytest.mark.parametrize("who", ["primary", "one"])
async def test_a_pool_that_is_full_says_nothing_of_its_server(
    world: World, monkeypatch: pytest.MonkeyPatch, who: str
) -> None:
    monkeypatch.setattr(replicas, "REPLICA_TIMEOUT_S", 0.02)
    monkeypatch.setattr(replicas, "PRIMARY_TIMEOUT_S", 0.02)
    full: Server = getattr(world, who)
    full.is_full = True
    reach = 200 if who == "primary" else 100
    for _ in range(2):
        assert (await world.source.read(ask, reach)).result != who
    full.is_full = False
    world.one.position = world.two.position = 99
    assert (await world.source.read(ask, 100)).result == "primary"
    assert {(await world.source.read(ask, 99)).result for _ in range(2)} == {"one", "two"}
    assert world.source.primary_answers


async def test_where_all_pools_are_full_it_says_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for limit in ("REPLICA_TIMEOUT_S", "PRIMARY_TIMEOUT_S"):
        monkeypatch.setattr(replicas, limit, 0.01)
    for server in (world.primary, world.one, world.two):
        server.is_full = True
    with pytest.raises(BusyError, match="in use"):
        await world.source.read(ask, 1)


async def test_a_replica_that_lags_is_not_asked_for_a_while(world: World) -> None:
    world.one.position = 99
    for _ in range(10):
        await world.source.read(ask, 100)
    asked = world.one.asked
    assert asked <= 6, "two questions each, three times"
    assert [await world.source.read(ask, 100) for _ in range(4)] == [of("two", 100)] * 4
    assert world.one.asked == asked
    # For what it has it is as good as any.
    assert {(await world.source.read(ask, 99)).result for _ in range(2)} == {"one", "two"}
    for _ in range(10):
        await world.source.read(ask, 100)
    world.clock.time += 1
    world.one.position = 100
    assert {(await world.source.read(ask, 100)).result for _ in range(2)} == {"one", "two"}


async def test_a_replica_without_the_schema_is_left_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def migrated(connection: Any, least: int) -> Reached[str] | None:
        if connection is world.one:
            raise FatalError("The schema does not fit this code.")
        return await ask(connection, least)

    assert [(await world.source.read(migrated, 1)).result for _ in range(4)] == ["two"] * 4
    assert world.one.asked <= 2


async def test_a_replica_keeps_its_one_try_until_its_turn_comes(world: World) -> None:
    world.one.up = False
    for _ in range(2):
        await world.source.read(ask, 1)
    world.one.up = True
    world.clock.time = COOLDOWN_S
    # Whoever begins with the other one takes nothing from it.
    found = [(await world.source.read(ask, 1)).result for _ in range(2)]
    assert sorted(found) == ["one", "two"]


async def test_the_primary_rests_and_comes_back(world: World) -> None:
    world.primary.up = False
    assert await world.source.position() is None
    world.primary.up = True
    assert await world.source.position() is None
    world.clock.time = COOLDOWN_S
    assert await world.source.position() == 100


async def test_a_resting_primary_is_asked_when_nobody_else_is_left(world: World) -> None:
    world.primary.up = world.one.up = world.two.up = False
    with pytest.raises(TransientError):
        await world.source.read(ask, 1)
    world.primary.up = True
    assert await world.source.read(ask, 1) == of("primary", 100)


async def test_after_a_move_a_replica_is_asked_only_when_it_is_seen_to_follow(world: World) -> None:
    world.one.position = world.two.position = 1_000
    world.source.moved()
    assert [await world.source.read(ask, 1) for _ in range(3)] == [of("primary", 100)] * 3
    world.source._replicas[1].follows = True
    assert [await world.source.read(ask, 1) for _ in range(3)] == [of("two", 1_000)] * 3
    world.primary.up, world.source._replicas[1].follows = False, False
    with pytest.raises(TransientError):
        await world.source.read(ask, None)


class Snapshots(Server):
    """A server of which it is known what ran when it was asked: the oldest transaction, and the first not begun."""

    def __init__(self, position: int) -> None:
        super().__init__("primary", position)
        self.running = (1, 1)

    async def fetchrow(self, text: str) -> dict[str, int]:
        assert text == query("wal_moment")
        return dict(zip(("reached", "oldest", "newest"), (self.position, *self.running), strict=True))


async def ask_then(connection: Any, least: int) -> Reached[str] | None:
    if connection.position < least:
        return None
    then = await moment(connection) if isinstance(connection, Snapshots) else None
    return Reached(connection.name, connection.position, connection.position, then)


@pytest.fixture
def shown(world: World) -> World:
    """The first replica is at 808; the primary too, and what it shows depends on what runs there."""
    world.primary = Snapshots(800)
    world.source._primary = world.primary  # type: ignore[assignment]
    world.one.position, world.two.position = 808, 800
    return world


async def seen_on_a_replica(world: World) -> int:
    """The token of who saw 808 on the first replica, which then goes away."""
    read = await world.source.read(ask_then, 808)
    assert (read.result, read.position) == ("one", 808)
    world.one.up = False
    return read.upper


async def test_what_the_primary_shows_is_claimed_where_nothing_runs(shown: World) -> None:
    shown.one.up = False
    shown.primary.position = 808
    read = await shown.source.read(ask_then, 808)
    assert (read.result, read.position, read.upper) == ("primary", 808, 808)


async def test_while_a_transaction_runs_the_primary_claims_what_was_before_it(shown: World) -> None:
    await shown.source.read_primary(ask_then)
    shown.primary.position, shown.primary.running = 840, (1, 3)  # type: ignore[attr-defined]
    read = await shown.source.read_primary(ask_then)
    assert (read.position, read.acknowledged, read.upper) == (800, 839, 840)


def waited(outcome: str) -> float:
    return REGISTRY.get_sample_value("profile_reads_waited_at_primary_total", {"outcome": outcome}) or 0


async def test_what_a_replica_has_shown_is_waited_for_on_the_primary(shown: World) -> None:
    token = await seen_on_a_replica(shown)
    shown.primary.position, shown.primary.running = 840, (1, 2)  # type: ignore[attr-defined]
    reading = asyncio.create_task(shown.source.read(ask_then, 0, token=token))
    await asyncio.sleep(0.05)
    assert not reading.done(), "the commit at 808 may not be visible yet"
    shown.primary.running = (2, 2)  # type: ignore[attr-defined]
    waits = waited("shown")
    read = await reading
    assert (read.result, read.position) == ("primary", 840)
    assert waited("shown") - waits == 1


async def test_what_the_primary_does_not_come_to_show_is_no_answer(
    shown: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replicas, "VISIBLE_POLLS", 2)
    token = await seen_on_a_replica(shown)
    shown.primary.position, shown.primary.running = 840, (1, 2)  # type: ignore[attr-defined]
    waits = waited("refused")
    for reach in (0, None):
        with pytest.raises(TransientError, match="does not show yet"):
            await shown.source.read(ask_then, reach, token=token)
    assert waited("refused") - waits == 1, "where nobody else is left, it has waited before"
    shown.one.up = True
    shown.clock.time = COOLDOWN_S
    assert (await shown.source.read(ask_then, 0, token=token)).result == "one"


async def test_the_token_of_a_write_or_of_the_primary_is_never_waited_for(shown: World) -> None:
    shown.one.up = False
    shown.primary.position, shown.primary.running = 840, (1, 2)  # type: ignore[attr-defined]
    asked = shown.primary.asked
    for token in (808, (await shown.source.read_primary(ask_then)).upper):
        assert (await shown.source.read(ask_then, 0, token=token)).result == "primary"
    assert shown.primary.asked - asked == 3, "one question each"
