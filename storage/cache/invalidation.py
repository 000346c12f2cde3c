"""Invalidation after a commit: tried at once, and kept and retried where the cache did not take it.

Design, section 5, rule 3: this process' memory, then Redis, then everybody's memory, and one's own once more. A write
never fails for it.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Container, Sequence
from operator import itemgetter
from typing import Final, NamedTuple, Protocol

from app.core.log_events import LogEvent
from app.core.models import Changes, Stale
from app.core.pieces import Pieces
from app.observability.tracing import span
from storage.cache.commit import ChangesAt, Commit
from storage.cache.keyspace import CacheKey, Keyspace
from storage.cache.memory import Memory
from storage.cache.shared import CacheLevel

logger = logging.getLogger(__name__)

RETRY_S: Final = 0.1  # as long as what others read may be old, once they reach the node again
UNCLEAR_AGAIN_S: Final = (0.5, 5.0)
MAX_PENDING: Final = 200_000  # beyond, everything is dropped when the cache is back
_NAMED_AT_ONCE: Final = 1_000  # keys, of a microsecond or two each
_DROPPED_AT_ONCE: Final = 500  # keys, which take some microseconds each in commands, messages and memory
_group: Final = itemgetter(0)


class Publisher(Protocol):
    """What is used of storage.cache.notifications.Notifications."""

    async def publish(self, keys: Sequence[CacheKey]) -> list[CacheKey]: ...

    async def publish_everything(self) -> bool: ...


class Owed(NamedTuple):
    """A key whose invalidation is not done."""

    key: CacheKey
    is_told: bool  # to all workers, once: Redis has not taken it


class CacheInvalidator:
    """Drops what a commit changed from all levels of all workers. Idempotent; never raises."""

    def __init__(
        self, cache: CacheLevel, keyspace: Keyspace, memory: Memory, publisher: Publisher | None
    ) -> None:
        self._cache = cache
        self._keyspace = keyspace
        self._memory = memory
        self._publisher = publisher

    def key_of(self, stale: Stale) -> CacheKey:
        """The entry of something that a commit made old."""
        return self._keyspace.key(stale)

    def keys_of(self, changes: Changes) -> list[CacheKey]:
        """What the commit makes old."""
        return [*map(self.key_of, changes.stale)]

    async def invalidate(self, changes: Changes) -> bool:
        """Try once; true when every node took it."""
        return not changes or not await self.drop(self.keys_of(changes), changes.position)

    async def drop(
        self, keys: Sequence[CacheKey], position: int, *, told: Container[bytes] = ()
    ) -> list[Owed]:
        """Drop these, which a commit at `position` (0: not known) made old; returns what has to be done again.

        A node that is away keeps nobody from hearing of what the others hold. What a node does not take is published
        all the same, but for what was `told` before: one that has just started refuses its keys for two seconds
        (CLUSTERDOWN) and passes messages on, so others read past it meanwhile and remember what they read.

        This process hears nothing of itself. What it reads from Redis meanwhile may be what a node has yet to drop, so
        its memory is told at the end too, with nothing between that and the caller's note of what is owed.
        """
        local = [key.local for key in keys]
        self._memory.invalidate(local, again_soon=True)
        missed = {key.name for key in await self._cache.invalidate(keys, position)}
        untold: set[bytes] = set()
        if self._publisher is not None:
            news = [key for key in keys if key.name not in missed or key.name not in told]
            untold = {key.name for key in await self._publisher.publish(news)}
        self._memory.invalidate(local)
        return [Owed(key, key.name not in untold) for key in keys if key.name in missed or key.name in untold]

    async def drop_all(self) -> bool:
        """Drop everything."""
        self._memory.forget()
        if not await self._cache.drop_all():
            return False
        is_told = self._publisher is None or await self._publisher.publish_everything()
        self._memory.forget()
        return is_told


class PendingInvalidations:
    """What the cache has not taken yet, retried in the background until it has. A write does not wait for that."""

    def __init__(self, invalidator: CacheInvalidator) -> None:
        self._invalidator = invalidator
        self._pending: dict[bytes, Owed] = {}
        self._in_flight: dict[bytes, Owed] = {}
        self._position: int | None = None  # the highest of what is pending; 0 where one is not known
        self._everything = False
        self._dropping_everything = False
        self._task: asyncio.Task[None] | None = None
        self._unclear: set[asyncio.Task[None]] = set()
        self._telling: set[asyncio.Task[Changes]] = set()

    def __len__(self) -> int:
        return len(self._pending) + len(self._in_flight)

    @property
    def behind(self) -> bool:
        """Whether the cache may hold entries that this process knows to be old."""
        return bool(len(self) or self._everything or self._dropping_everything)

    @property
    def settled(self) -> bool:
        """Whether the caches of all workers have taken all that this process committed."""
        return not (self.behind or self._telling or self._unclear)

    def owes(self, key: CacheKey) -> bool:
        """Whether the entry of this key may be one of them."""
        return (
            self._everything
            or self._dropping_everything
            or key.name in self._pending
            or key.name in self._in_flight
        )

    @contextlib.asynccontextmanager
    async def commit(self) -> AsyncIterator[Commit]:
        """Surrounds a transaction; when it closes, the caches are told of what may have committed.

        A task of its own tells them, so that a cancelled caller takes nothing along. Without a cancellation it is done
        when this returns. See storage.cache.commit for the steps.
        """
        commit = Commit()
        try:
            yield commit
        finally:
            if commit.changes_at is not None:
                telling = asyncio.create_task(
                    self._tell(commit.changes_at, commit.position), name="invalidations-of-a-commit"
                )
                self._telling.add(telling)
                telling.add_done_callback(self._telling.discard)
                commit.changes = await asyncio.shield(telling)

    async def _tell(self, changes_at: ChangesAt, position: int) -> Changes:
        changes = await changes_at(position)
        if changes:
            with span("invalidate"):
                await self.submit(changes)
        return changes

    async def submit(self, changes: Changes) -> None:
        """Drop the entries now, or keep them. Never raises. Of what is kept the order does not matter.

        A position of 0 is that of a commit whose answer was lost: it may not be visible yet, so that what is read right
        after it is old. Who tries it again finds it done and has nothing to tell, so this tells of it again.
        """
        if not changes:
            return
        if not changes.position:
            for delay_s in UNCLEAR_AGAIN_S:
                task = asyncio.create_task(self._drop_later(changes, delay_s), name="unclear-invalidation")
                self._unclear.add(task)
                task.add_done_callback(self._unclear.discard)
        await self._drop(changes)

    async def _drop_later(self, changes: Changes, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        await self._drop(changes)

    async def _drop(self, changes: Changes) -> None:
        keys: list[CacheKey] = []
        async for piece in Pieces(changes.stale, items=_NAMED_AT_ONCE):
            keys += map(self._invalidator.key_of, piece)
        await self._drop_keys(keys, changes.position)
        if (self._pending or self._everything) and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._retry(), name="pending-invalidations")

    async def _drop_keys(
        self, keys: Sequence[CacheKey], position: int, *, told: Container[bytes] = ()
    ) -> None:
        """Drop these in pieces, and keep what has to be done again."""
        if len(keys) > _DROPPED_AT_ONCE:
            keys = sorted(keys, key=_group)  # a piece of whole groups is as few commands as possible
        start, size = 0, _DROPPED_AT_ONCE
        while start < len(keys):
            owed = await self._invalidator.drop(keys[start : start + size], position, told=told)
            start += size
            if owed:
                self._keep(owed, position)
                size *= 4  # each piece waits for a node that is away

    def _keep(self, owed: Sequence[Owed], position: int) -> None:
        if self._everything:
            return
        for key, is_told in owed:
            # Told of every change of it: one may have come while another was tried again.
            other = self._pending.get(key.name)
            self._pending[key.name] = Owed(key, is_told and (other is None or other.is_told))
        known = self._position
        self._position = position if known is None else 0 if 0 in (known, position) else max(known, position)
        if len(self._pending) > MAX_PENDING:
            logger.warning(
                "The cache has been away for long: all of it is dropped when it is back.",
                extra=LogEvent.CACHE_EMPTYING.extra,
            )
            self._everything = True
            self._pending.clear()

    async def _retry(self) -> None:
        while self._pending or self._everything:
            await asyncio.sleep(RETRY_S)
            # Taken before it is tried, so that what is submitted meanwhile is not taken for done.
            self._dropping_everything, self._everything = self._everything, False
            self._in_flight, self._pending = self._pending, {}
            position, self._position = self._position or 0, None
            if self._dropping_everything:
                self._everything = not await self._invalidator.drop_all()
            else:
                await self._drop_in_flight(position)
            self._in_flight = {}
            self._dropping_everything = False

    async def _drop_in_flight(self, position: int) -> None:
        keys = [owed.key for owed in self._in_flight.values()]
        told = {name for name, owed in self._in_flight.items() if owed.is_told}
        await self._drop_keys(keys, position, told=told)

    async def close(self) -> None:
        """Tell what has committed, once, and stop retrying; CDC repeats what is left."""
        await asyncio.gather(*self._telling, return_exceptions=True)
        for task in self._unclear:
            task.cancel()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
