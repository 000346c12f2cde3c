"""Redis and the channel in memory: slow, in three nodes that may be away, with keys that may go."""

import asyncio
from collections.abc import Mapping, Sequence
from random import Random
from typing import Protocol

from storage.cache.keyspace import CacheKey
from storage.cache.shared import Found
from tests.unit.storage.fakes import MemoryLevel

NODES = 3


class SlowLevel:
    """Implements storage.cache.shared.CacheLevel: each call takes a while before and after it is done."""

    def __init__(self, random: Random) -> None:
        self.level = MemoryLevel()
        self.away: set[int] = set()
        self._random = random

    def is_away(self, key: CacheKey) -> bool:
        return key.group % NODES in self.away

    async def _later(self) -> None:
        await asyncio.sleep(self._random.expovariate(1_500))

    def restart(self, node: int) -> None:
        """A node comes back empty."""
        for name in [name for name in self.level.slots if _group_of(name) % NODES == node]:
            del self.level.slots[name]
        for group in [group for group in self.level.marks if group % NODES == node]:
            del self.level.marks[group]

    def evict(self) -> None:
        if self.level.slots:
            del self.level.slots[self._random.choice(sorted(self.level.slots))]

    async def get(self, keys: Sequence[CacheKey]) -> list[bytes | None]:
        await self._later()
        found = await self.level.get(keys)
        away = [self.is_away(key) for key in keys]
        await self._later()
        return [None if gone else entry for gone, entry in zip(away, found, strict=True)]

    async def lease(self, keys: Sequence[CacheKey]) -> list[Found]:
        await self._later()
        here = [key for key in keys if not self.is_away(key)]
        found = dict(zip(here, await self.level.lease(here), strict=True))
        await self._later()
        return [found.get(key, Found()) for key in keys]

    async def set_marks(self, leases: Mapping[int, bytes], position: int) -> None:
        await self._later()
        await self.level.set_marks(
            {g: lease for g, lease in leases.items() if g % NODES not in self.away}, position
        )
        await self._later()

    async def fill(self, entries: Sequence[tuple[CacheKey, bytes, bytes]]) -> bool:
        await self._later()
        here = [entry for entry in entries if not self.is_away(entry[0])]
        stored = await self.level.fill(here)
        await self._later()
        return stored and len(here) == len(entries)

    async def invalidate(self, keys: Sequence[CacheKey], position: int) -> list[CacheKey]:
        await self._later()
        missed = [key for key in keys if self.is_away(key)]
        await self.level.invalidate([key for key in keys if key not in missed], position)
        await self._later()
        return missed

    async def drop_all(self) -> bool:
        await self._later()
        if self.away:
            return False
        self.level.restart()
        return True


def _group_of(name: bytes) -> int:
    return int(name.partition(b"{g")[2].partition(b"}")[0])


class Listener(Protocol):
    """A worker as the channel sees it."""

    is_cut: bool

    def hear(self, keys: Sequence[CacheKey], notified: Mapping[bytes, object]) -> None: ...


class Channel:
    """Messages arrive late, and in the order in which one worker sent them to another."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._due: dict[tuple[int, int], float] = {}

    def send(
        self, sender: Listener, receiver: Listener, keys: Sequence[CacheKey], notified: Mapping[bytes, object]
    ) -> None:
        loop = asyncio.get_running_loop()
        pair = (id(sender), id(receiver))
        at = max(self._due.get(pair, 0.0) + 1e-9, loop.time() + self._random.expovariate(300))
        self._due[pair] = at
        if not receiver.is_cut:
            loop.call_at(at, self._deliver, receiver, keys, notified)

    @staticmethod
    def _deliver(receiver: Listener, keys: Sequence[CacheKey], notified: Mapping[bytes, object]) -> None:
        if not receiver.is_cut:
            receiver.hear(keys, notified)
