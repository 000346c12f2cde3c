"""What a miss has to know before it asks PostgreSQL: the position to reach, and the leases to store under."""

from collections.abc import Sequence
from typing import NamedTuple

from storage.cache.invalidation import PendingInvalidations
from storage.cache.keyspace import CacheKey
from storage.cache.shared import NOTHING, CacheLevel, Found
from storage.postgres.replicas import ReadSource


class Reach(NamedTuple):
    """The position that a read has to reach; None where it can't be known, since the primary is down.

    `of_primary`: it is the primary's own position, so whoever reached it holds every commit that was acknowledged.
    """

    position: int | None
    of_primary: bool


class SharedLevel:
    """The shared cache as fills see it. Keys that this process owes it invalidations of are not asked for."""

    def __init__(self, cache: CacheLevel, pending: PendingInvalidations, source: ReadSource) -> None:
        self._cache = cache
        self._pending = pending
        self._source = source

    async def get(self, keys: Sequence[CacheKey]) -> list[bytes | None]:
        """The entries, in order."""
        if not self._pending.behind:
            return await self._cache.get(keys)
        asked = self._not_owed(keys)
        entries = dict(zip(asked, await self._cache.get(asked), strict=True))
        return [entries.get(key) for key in keys]

    async def lease(self, keys: Sequence[CacheKey]) -> list[Found]:
        """Plant leases; nothing where the cache can't be used."""
        if not self._pending.behind:
            return await self._cache.lease(keys)
        asked = self._not_owed(keys)
        found = dict(zip(asked, await self._cache.lease(asked), strict=True))
        return [found.get(key, NOTHING) for key in keys]

    def _not_owed(self, keys: Sequence[CacheKey]) -> list[CacheKey]:
        return [key for key in keys if not self._pending.owes(key)]

    async def reach(self, keys: Sequence[CacheKey], found: Sequence[Found]) -> Reach:
        """The highest mark of the keys' groups (rule 4).

        Where one is missing, its lease was planted before: the primary's position is read now and becomes the mark.
        """
        marks = [f.mark for f in found if f.mark is not None]
        if len(marks) == len(found):
            return Reach(max(marks, default=0), of_primary=False)
        position = await self._source.position()
        if position is None:
            return Reach(None, of_primary=False)
        leases = {k.group: f.mark_lease for k, f in zip(keys, found, strict=True) if f.mark_lease is not None}
        if leases:
            await self._cache.set_marks(leases, position)
        return Reach(max([position, *marks]), of_primary=True)

    async def fill(self, entries: Sequence[tuple[CacheKey, bytes, bytes]]) -> bool:
        """Store (key, lease, entry) where the lease is still there; true when all of them were stored."""
        return await self._cache.fill(entries)
