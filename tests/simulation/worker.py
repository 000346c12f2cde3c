"""One worker: the real read path and the real invalidation, around servers in memory."""

import asyncio
import json
from collections.abc import Coroutine, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

from app.core.errors import TransientError
from app.core.models import Changes, Lookup
from storage.cache.fragments import Fragment
from storage.cache.id_lists import IdList
from storage.cache.invalidation import CacheInvalidator, PendingInvalidations
from storage.cache.keyspace import CacheKey, Keyspace
from storage.cache.leases import SharedLevel
from storage.cache.lookups import lookups_of
from storage.cache.memory import Memory, MemoryCache
from storage.cache.notifications import Notifications
from storage.cache.refresh_ahead import Renewal
from storage.postgres.read_queue import ReadQueue
from storage.postgres.replicas import ReadSource, Replica
from storage.read.budget import Budget
from storage.read.fragment_loader import FragmentLoader
from storage.read.id_list_loader import ListLoader
from storage.read.reader import CachedGraphReader
from storage.read.repopulate import Refill
from storage.read.tree_cache import KeptTrees
from tests.simulation.database import Commit, Database, Server
from tests.simulation.loop import LoopClock
from tests.simulation.promises import Notified, Required, Shown
from tests.simulation.shared import Channel, Nodes, SlowLevel

KEYSPACE = Keyspace("up:1.1.1")
_TOLD: ContextVar[Mapping[bytes, Shown]] = ContextVar("what the invalidation under way tells of, by key")


class Cluster:
    """What all workers share."""

    def __init__(
        self, database: Database, level: SlowLevel, channel: Channel, primary: Server, replicas: list[Server]
    ) -> None:
        self.database, self.level, self.channel = database, level, channel
        self.primary, self.replicas = primary, replicas
        self.workers: list[Worker] = []
        self.notified = Notified(database)  # by Redis, and so by whoever reads past memory


class Worker:
    """A process of the service; `start` it."""

    def __init__(self, cluster: Cluster) -> None:
        clock = LoopClock()
        self.cluster = cluster
        self.is_cut = False
        self.notified = cluster.notified.copy()  # what it heard of
        self.owed = Notified(cluster.database)  # what it wrote, and Redis has not taken: it reads past Redis
        self.memory: Memory = Emptied(self, clock)
        nodes = Nodes(cluster.channel, self, lambda: _TOLD.get({}))
        self.notifications = Notifications(nodes, KEYSPACE, self.memory, clock, timeout_s=1)  # type: ignore[arg-type]
        self.invalidator = _Invalidator(self)
        self.pending = PendingInvalidations(self.invalidator)
        self.source = ReadSource(
            cluster.primary,  # type: ignore[arg-type]
            [Replica(f"replica {n}", server, clock) for n, server in enumerate(cluster.replicas)],  # type: ignore[arg-type]
            acquire_timeout_s=1,
            clock=clock,
            queue=ReadQueue(at_once=4, patience_s=60, clock=clock),
        )
        shared = SharedLevel(cluster.level, self.pending, self.source)
        fragments = FragmentLoader(
            self.memory, shared, KEYSPACE, self.source, clock, budget=Budget(nodes=100)
        )
        lists = ListLoader(self.memory, shared, self.source, clock)
        kept = KeptTrees(self.memory, clock, max_bytes=200_000)
        self.reader = CachedGraphReader(
            fragments, lists, kept, KEYSPACE, clock, budget=Budget(nodes=100), retention_months=None
        )
        self._background: list[Coroutine[Any, Any, None]] = [
            Renewal(self.memory, shared, KEYSPACE).run(),
            Refill(self.memory, fragments, clock).run(),
        ]
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [asyncio.create_task(each) for each in self._background]
        self.notifications.start()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.pending.close()
        await self.notifications.close()

    async def write(
        self,
        edges: dict[int, tuple[int, ...] | None],
        *,
        is_lost: bool,
        crashes: bool,
        begun: asyncio.Event,
    ) -> tuple[Commit, int] | None:
        """As storage.write.writer does: commit, then tell; None where it ended before it was heard of.

        It may be cancelled at any time. `begun` is set when the transaction may commit.
        """
        database = self.cluster.database

        async def changes_at(position: int) -> Changes:
            return changes_of(database, edges, position)

        try:
            async with self.pending.commit() as commit:

                def begins() -> None:
                    commit.begins(changes_at)
                    begun.set()

                made, position = await database.commit(edges, is_lost=is_lost, begins=begins)
                commit.reached(position)
                if crashes:  # the process: nobody tells but the repeater
                    commit.changes_at = None
        except TransientError:
            return None
        return None if crashes else (made, position)

    def required(self) -> Required:
        """What an answer has to show from now on."""
        return Required(self.cluster.notified, self.notified, self.owed)

    # --- the channel

    def hears(self, notified: Mapping[bytes, object]) -> None:
        """Its memory is about to be told."""
        self.notified.add(notified)

    def emptied(self) -> None:
        """It knows that it may have missed something."""
        self.notified.add(self.cluster.notified.all())

    async def publish(self, keys: Sequence[CacheKey]) -> list[CacheKey]:
        return await self.notifications.publish(keys)

    async def publish_everything(self) -> bool:
        return await self.notifications.publish_everything()


class Emptied(MemoryCache[Fragment | IdList]):
    """A memory that says when it is emptied."""

    def __init__(self, worker: Worker, clock: LoopClock) -> None:
        super().__init__(clock, max_bytes=200_000)
        self._worker = worker

    def forget(self) -> None:
        super().forget()
        self._worker.emptied()

    def lose(self) -> None:
        super().lose()
        self._worker.emptied()


class _Invalidator(CacheInvalidator):
    """Notes what was notified when it is done."""

    def __init__(self, worker: Worker) -> None:
        super().__init__(worker.cluster.level, KEYSPACE, worker.memory, worker)
        self._worker = worker

    async def drop(self, keys: Sequence[CacheKey], position: int, *, told: Any = ()) -> Any:
        cluster = self._worker.cluster
        shown = cluster.notified.shown(position)
        _TOLD.set({key.name: shown for key in keys})
        owed = await super().drop(keys, position, told=told)
        missed = {each.key.name for each in owed}
        done = {key.name: shown for key in keys if key.name not in missed}
        cluster.notified.add(done)
        self._worker.notified.add(done)
        self._worker.owed.add(dict.fromkeys(missed, shown))
        return owed


def changes_of(database: Database, changed: Mapping[int, object], position: int) -> Changes:
    """Of these entities: their fragments, and each look-up that a version of theirs answers or answered."""
    lookups: set[Lookup] = set()
    for entity in changed:
        for version in database.versions(entity)[-6:]:
            for name, value in version.properties(entity).items():
                lookups.update(lookups_of(name, json.dumps(value)))
    return Changes(position=position, entities=frozenset(changed), lookups=frozenset(lookups))
