"""Which server answers, on servers that are a position and a name."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from app.errors import TransientError
from storage.queries import query
from storage.source import COOLDOWN_S, ReadSource, Replica


class ManualClock:
    def __init__(self) -> None:
        self.time = 0.0

    def monotonic(self) -> float:
        return self.time


class Server:
    """A pool and its connection in one."""

    def __init__(self, name: str, position: int) -> None:
        self.name = name
        self.position = position
        self.up = True

    @asynccontextmanager
    async def acquire(self, timeout: float = 0) -> AsyncIterator["Server"]:  # noqa: ASYNC109 - asyncpg's signature
        if not self.up:
            raise ConnectionRefusedError(111, "refused")
        yield self

    async def fetchval(self, text: str) -> int:
        assert text in (query("flush_position"), query("replay_position"))
        return self.position


async def ask(connection: Any, position: int) -> tuple[str, int]:
    return connection.name, position


class World:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.primary, self.one, self.two = Server("primary", 100), Server("one", 100), Server("two", 100)
        self.source = ReadSource(
            self.primary,  # type: ignore[arg-type]
            [Replica(s.name, s, self.clock) for s in (self.one, self.two)],  # type: ignore[arg-type]
            acquire_timeout_s=1,
            clock=self.clock,  # type: ignore[arg-type]
        )


@pytest.fixture
def world() -> World:
    return World()


async def test_what_will_be_stored_comes_from_the_primary_one_position_back(world: World) -> None:
    assert await world.source.read_to_store(ask) == (("primary", 99), True)


async def test_other_reads_take_turns_on_replicas_that_have_caught_up(world: World) -> None:
    assert {(await world.source.read(ask))[0][0] for _ in range(2)} == {"one", "two"}
    world.one.position = 99
    assert [await world.source.read(ask) for _ in range(3)] == [(("two", 100), True)] * 3
    world.two.position = 99
    assert await world.source.read(ask) == (("primary", 99), True)


async def test_a_replica_that_is_down_is_left_out_for_a_while(world: World) -> None:
    world.one.up = False
    assert [await world.source.read(ask) for _ in range(3)] == [(("two", 100), True)] * 3
    world.one.up, world.two.up = True, False
    assert (await world.source.read(ask))[0][0] == "primary"
    world.clock.time = COOLDOWN_S
    assert (await world.source.read(ask))[0][0] == "one"


async def test_with_the_primary_down_the_most_advanced_replica_answers_unverified(world: World) -> None:
    world.primary.up, world.one.position = False, 90
    assert await world.source.read(ask) == (("two", 100), False)
    assert await world.source.read_to_store(ask) == (("two", 100), False)
    world.primary.up = True
    assert (await world.source.read_to_store(ask))[1] is False  # it rests
    world.clock.time = COOLDOWN_S
    assert await world.source.read_to_store(ask) == (("primary", 99), True)


async def test_a_resting_primary_is_asked_when_nobody_else_is_left(world: World) -> None:
    world.primary.up = world.one.up = world.two.up = False
    with pytest.raises(TransientError):
        await world.source.read(ask)
    world.primary.up = True
    assert await world.source.read_to_store(ask) == (("primary", 99), True)
