"""The levels of the cache as an audit sees them: some keys by chance, and what stands under a key now."""

from collections.abc import Sequence
from random import Random
from typing import Protocol, cast

from app.core import audit
from storage.cache import fragments, id_lists
from storage.cache.fragments import Fragment
from storage.cache.id_lists import IdList
from storage.cache.keyspace import CacheKey, Keyspace
from storage.cache.memory import Memory
from storage.redis.cluster import RedisNodes

Entry = Fragment | IdList


class AuditedLevel(Protocol):
    """Neither call changes anything, nor what is evicted next. Both raise TransientError."""

    name: audit.Level

    async def keys(self, count: int) -> list[CacheKey]:
        """Up to `count` keys by chance, without repetition."""
        ...

    async def get(self, keys: Sequence[CacheKey]) -> list[Entry | None]:
        """The entries, in order; None where there is none, or none that can be read."""
        ...


class RedisEntries:
    """What all workers share. It is asked past the breaker, since an audit that sees nothing must say so."""

    name: audit.Level = "redis"

    def __init__(self, nodes: RedisNodes, keyspace: Keyspace, random: Random) -> None:
        self._nodes = nodes
        self._keys = keyspace
        self._random = random

    async def keys(self, count: int) -> list[CacheKey]:
        names = await self._nodes.sample(
            self._keys.entries_pattern, count, slots=self._keys.slots, random=self._random
        )
        return [key for key in map(self._keys.parse, names) if key is not None]

    async def get(self, keys: Sequence[CacheKey]) -> list[Entry | None]:
        slots = self._keys.slots
        entries = await self._nodes.run([(slots[key.group], ("HGET", key.name, "e")) for key in keys])
        return [_decode(key, cast("bytes | None", entry)) for key, entry in zip(keys, entries, strict=True)]


class MemoryEntries:
    """What this process keeps."""

    name: audit.Level = "memory"

    def __init__(self, memory: Memory, keyspace: Keyspace, random: Random) -> None:
        self._memory = memory
        self._keys = keyspace
        self._random = random

    async def keys(self, count: int) -> list[CacheKey]:
        known = self._memory.keys()
        chosen = self._random.sample(known, min(count, len(known)))
        keys = (self._keys.fragment(k) if isinstance(k, int) else self._keys.parse(k) for k in chosen)
        return [key for key in keys if key is not None]

    async def get(self, keys: Sequence[CacheKey]) -> list[Entry | None]:
        return [self._memory.peek(key.local) for key in keys]


def _decode(key: CacheKey, data: bytes | None) -> Entry | None:
    if data is None:
        return None
    return fragments.decode(data) if isinstance(key.local, int) else id_lists.decode(data)
