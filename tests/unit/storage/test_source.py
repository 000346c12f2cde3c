"""Which server answers, on servers that are a position and a name."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from app.errors import TransientError
from storage import source
from storage.graph_queries import Reached
from storage.queries import query
from storage.source import COOLDOWN_S, Read, ReadSource, Replica
from tests.unit.storage.fakes import ManualClock


class Server:
    """A pool and its connection in one."""

    def __init__(self, name: str, position: int) -> None:
        self.name = name
        self.position = position
        self.up = True
        self.hangs = False

    @asynccontextmanager
    async def acquire(self, timeout: float = 0) -> AsyncIterator["Server"]:  # noqa: ASYNC109 - asyncpg's signature
        if not self.up:
            raise ConnectionRefusedError(111, "refused")
        if self.hangs:
            await asyncio.Event().wait()
        yield self

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
        )


@pytest.fixture
def world() -> World:
    return World()


async def test_a_hanging_primary_costs_one_question_its_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "POSITION_TIMEOUT_S", 0.05)
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
    assert await world.source.read(ask, None, token=100) == of("two", 100)


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
