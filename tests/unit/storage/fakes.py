"""A clock by hand, and a shared level in memory that does what the scripts of storage.cache.shared do in Redis."""

import itertools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from storage.cache.keyspace import CacheKey
from storage.cache.shared import Found


class ManualClock:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.time = 0.0

    def monotonic(self) -> float:
        return self.time

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.time, UTC)

    def epoch_s(self) -> float:
        return self.now().timestamp()


@dataclass(slots=True)
class Slot:
    """A key's hash."""

    entry: bytes | None = None
    lease: bytes | None = None


@dataclass(slots=True)
class Mark:
    """A group's hash."""

    position: int = 0
    lease: bytes | None = None


async def nothing() -> None:
    """What happens between two steps, unless a test has something in mind."""


class MemoryLevel:
    """A CacheLevel. `after_lease` is awaited when leases were planted, `before_fill` before a fill is stored."""

    def __init__(self) -> None:
        self.slots: dict[bytes, Slot] = {}
        self.marks: dict[int, Mark] = {}
        self.works = True
        self.after_lease: Callable[[], Awaitable[None]] = nothing
        self.before_fill: Callable[[], Awaitable[None]] = nothing
        self._nonces = map(b"%d".__mod__, itertools.count(1))

    def entry(self, key: CacheKey) -> bytes | None:
        """What is stored under a key."""
        slot = self.slots.get(key.name)
        return None if slot is None else slot.entry

    def mark_all(self, position: int, groups: int = 128) -> None:
        """Complete marks for every group."""
        self.marks = {group: Mark(position) for group in range(groups)}

    def restart(self) -> None:
        """Forget everything, as a node that comes back empty."""
        self.slots.clear()
        self.marks.clear()

    async def get(self, keys: Sequence[CacheKey]) -> list[bytes | None]:
        return [self.entry(key) if self.works else None for key in keys]

    async def lease(self, keys: Sequence[CacheKey]) -> list[Found]:
        if not self.works:
            return [Found()] * len(keys)
        nonce = next(self._nonces)
        found = [self._lease(key, nonce) for key in keys]
        await self.after_lease()
        return found

    def _lease(self, key: CacheKey, nonce: bytes) -> Found:
        slot = self.slots.setdefault(key.name, Slot())
        if slot.entry is not None:
            return Found(entry=slot.entry)
        slot.lease = slot.lease or nonce
        mark = self.marks.setdefault(key.group, Mark(lease=nonce))
        if mark.lease is None:
            return Found(lease=slot.lease, mark=mark.position)
        return Found(lease=slot.lease, mark_lease=mark.lease)

    async def set_marks(self, leases: Mapping[int, bytes], position: int) -> None:
        for group, lease in leases.items():
            mark = self.marks.get(group)
            if mark is not None and mark.lease in (None, lease):
                mark.position = max(mark.position, position)
                mark.lease = None

    async def fill(self, entries: Sequence[tuple[CacheKey, bytes, bytes]]) -> bool:
        await self.before_fill()
        stored = []
        for key, lease, entry in entries:
            slot = self.slots.get(key.name)
            stored.append(self.works and slot is not None and slot.lease == lease)
            if stored[-1]:
                self.slots[key.name] = Slot(entry=entry)
        return all(stored)

    async def invalidate(self, keys: Sequence[CacheKey], position: int) -> list[CacheKey]:
        if not self.works:
            return list(keys)
        for key in keys:
            if key.group in self.marks and position == 0:
                del self.marks[key.group]
            elif key.group in self.marks:
                mark = self.marks[key.group]
                mark.position = max(mark.position, position)
            self.slots.pop(key.name, None)
        return []

    async def drop_all(self) -> bool:
        if self.works:
            self.restart()
        return self.works
