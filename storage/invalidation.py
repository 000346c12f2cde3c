"""Invalidation after a commit: tried at once, and kept and retried in order where the cache did not take it."""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Final

from app.models import Changes
from storage.cache import CacheLevel, Found, keys_of
from storage.keyspace import CacheKey, Keyspace

logger = logging.getLogger(__name__)

RETRY_S: Final = 0.2
MAX_PENDING: Final = 200_000  # beyond, everything is dropped when the cache is back


class CacheInvalidator:
    """Drops the entries of what a commit changed. Idempotent; never raises."""

    def __init__(self, cache: CacheLevel, keyspace: Keyspace) -> None:
        self._cache = cache
        self._keyspace = keyspace

    async def invalidate(self, changes: Changes) -> bool:
        """Try once; true when every node took it."""
        return not changes or await self._cache.drop(keys_of(changes, self._keyspace))


class PendingInvalidations:
    """What the cache has not taken yet, retried in the background until it has. A write never waits for it."""

    def __init__(self, cache: CacheLevel, keyspace: Keyspace) -> None:
        self._cache = cache
        self._keyspace = keyspace
        self._pending: dict[bytes, CacheKey] = {}
        self._in_flight = 0
        self._everything = False
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._pending) + self._in_flight

    @property
    def behind(self) -> bool:
        """Whether the cache may hold entries that this process knows to be old."""
        return bool(len(self) or self._everything)

    async def submit(self, changes: Changes) -> None:
        """Drop the entries now, or keep them. Never raises."""
        if not changes:
            return
        keys = keys_of(changes, self._keyspace)
        # What is kept came first, so nothing overtakes it.
        if not self.behind and await self._cache.drop(keys):
            return
        self._keep(keys)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._retry(), name="pending-invalidations")

    def _keep(self, keys: list[CacheKey]) -> None:
        if self._everything:
            return
        self._pending.update((key.name, key) for key in keys)
        if len(self._pending) > MAX_PENDING:
            logger.warning("The cache has been away for long: all of it is dropped when it is back.")
            self._everything = True
            self._pending.clear()

    async def _retry(self) -> None:
        while self._pending or self._everything:
            await asyncio.sleep(RETRY_S)
            # Taken before it is tried, so that what is submitted meanwhile is not taken for done.
            everything, self._everything = self._everything, False
            taken, self._pending = self._pending, {}
            self._in_flight = max(1, len(taken))
            if everything:
                self._everything = not await self._cache.drop_all()
            elif not await self._cache.drop(list(taken.values())):
                self._pending = {**taken, **self._pending}
            self._in_flight = 0

    async def close(self) -> None:
        """Stop retrying; CDC repeats what is left."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task


class GuardedCache:
    """A cache level that is bypassed while this process owes it invalidations."""

    def __init__(self, cache: CacheLevel, pending: PendingInvalidations) -> None:
        self._cache = cache
        self._pending = pending

    async def get(self, keys: Sequence[CacheKey]) -> list[Found]:
        return [Found()] * len(keys) if self._pending.behind else await self._cache.get(keys)

    async def fill(self, entries: Sequence[tuple[CacheKey, bytes, bytes]]) -> bool:
        return await self._cache.fill(entries)

    async def drop(self, keys: Sequence[CacheKey]) -> bool:
        return await self._cache.drop(keys)

    async def drop_all(self) -> bool:
        return await self._cache.drop_all()
