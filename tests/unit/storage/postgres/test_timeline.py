"""What a process does when its primary is another one, on connections that say who they are."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from app.core.errors import TransientError
from storage.postgres.queries import query
from storage.postgres.replicas import Replica
from storage.postgres.timeline import Lineage, LineageWatch
from tests.unit.storage.fakes import ManualClock


class Server:
    """A pool and its connection in one; `connects` is what each new connection has to pass."""

    def __init__(self, timeline: int, *, in_recovery: bool = False, system: int = 7) -> None:
        self.timeline = timeline
        self.system = system
        self.in_recovery = in_recovery
        self.up = True
        self.expired = 0

    @asynccontextmanager
    async def acquire(self, timeout: float = 0) -> AsyncIterator["Server"]:  # noqa: ASYNC109 - asyncpg's signature
        if not self.up:
            raise ConnectionRefusedError(111, "refused")
        yield self

    async def fetchrow(self, text: str) -> dict[str, Any]:
        if text == query("followed_timeline"):
            return {"in_recovery": self.in_recovery, "timeline": self.timeline}
        assert text == query("identity")
        if self.in_recovery:
            raise asyncpg.ObjectNotInPrerequisiteStateError("recovery is in progress")
        return {"system_identifier": self.system, "timeline": self.timeline, "database": 3}

    async def expire_connections(self) -> None:
        self.expired += 1


class World:
    def __init__(self) -> None:
        self.primary, self.one, self.two = Server(1), Server(1, in_recovery=True), Server(1, in_recovery=True)
        self.lineage = Lineage()
        self.replicas = [
            Replica(name, server, ManualClock())  # type: ignore[arg-type]
            for name, server in (("one", self.one), ("two", self.two))
        ]
        self.watch = LineageWatch(self.lineage, self.primary, self.replicas)  # type: ignore[arg-type]
        self.moves: list[str] = []
        self.lineage.on_move(lambda: self.moves.append(str(self.lineage.identity)), [self.primary])  # type: ignore[list-item]

    @property
    def following(self) -> list[bool]:
        return [replica.follows for replica in self.replicas]


@pytest.fixture
async def world() -> World:
    made = World()
    await made.lineage.check(made.primary)  # type: ignore[arg-type]
    return made


async def test_the_same_primary_moves_nothing(world: World) -> None:
    await world.watch.look()
    assert (str(world.lineage.identity), world.moves, world.primary.expired) == ("7.1.3", [], 0)
    assert world.following == [True, True]


async def test_a_new_timeline_is_told_and_all_connections_are_replaced(world: World) -> None:
    world.primary.timeline = 2
    await world.watch.look()
    assert (world.moves, world.primary.expired) == (["7.2.3"], 1)


async def test_a_server_of_an_earlier_timeline_is_refused(world: World) -> None:
    world.primary.timeline = 2
    await world.watch.look()
    with pytest.raises(TransientError):
        await world.lineage.check(Server(1))  # type: ignore[arg-type]
    assert world.moves == ["7.2.3"]
    await world.lineage.check(Server(1, system=8))  # type: ignore[arg-type]
    assert world.moves == ["7.2.3", "8.1.3"], "of another cluster nothing is earlier"


async def test_a_replica_counts_while_it_follows_the_primary(world: World) -> None:
    world.primary.timeline = world.two.timeline = 2
    world.one.in_recovery = False  # it was promoted
    await world.watch.look()
    await world.watch.look()
    assert world.following == [False, True]
    world.one.in_recovery, world.one.timeline = True, 2
    await world.watch.look()
    assert world.following == [True, True]


async def test_silence_says_nothing(world: World) -> None:
    world.primary.up = world.one.up = False
    world.two.timeline = 2
    await world.watch.look()
    assert (world.moves, world.following) == ([], [True, False])
    world.primary.up, world.primary.in_recovery = True, True
    await world.watch.look()
    assert world.moves == []
