"""The shared level of the cache: entries in Redis Cluster, stored only over a lease of one's own.

Each key is one hash with an entry `e` or a lease `l`. A miss plants a lease *before* PostgreSQL is read; a fill
stores only while that lease is there; an invalidation, which follows the commit, removes the key and the lease
with it. So a fill that read before the commit became visible finds its lease gone and stores nothing. A lease that
is already there is shared: who joins it reads after it was planted.
"""

import logging
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from app.clock import Clock
from app.errors import TransientError
from app.models import Changes
from storage.breaker import Breaker
from storage.keyspace import CacheKey, Keyspace
from storage.redis_connection import Command
from storage.redis_nodes import RedisNodes
from storage.redis_script import RedisScript

logger = logging.getLogger(__name__)

LEASE_S: Final = 30  # a fill that takes longer is answered and not stored
COOLDOWN_S: Final = 1.0
FAILURES: Final = 3  # in a row: one alone may be a moment in which this process itself was busy
_UNLINK_KEYS: Final = 1_000

_LEASE: Final = RedisScript("""
local v = redis.call('HMGET', KEYS[1], 'e', 'l')
if v[1] then return {v[1], false} end
if v[2] then return {false, v[2]} end
redis.call('HSET', KEYS[1], 'l', ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[2])
return {false, ARGV[1]}
""")
_FILL: Final = RedisScript("""
if redis.call('HGET', KEYS[1], 'l') ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'e', ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
""")


@dataclass(frozen=True, slots=True)
class Found:
    """An entry, or the lease under which it may be filled; neither where the cache can't be asked."""

    entry: bytes | None = None
    lease: bytes | None = None


class CacheLevel(Protocol):
    """One level of the cache. None of these raises; a cache that fails is a cache that knows nothing."""

    async def get(self, keys: Sequence[CacheKey]) -> list[Found]: ...

    async def fill(self, entries: Sequence[tuple[CacheKey, bytes, bytes]]) -> bool:
        """Store (key, lease, entry) where the lease is still there; true when all of them were stored."""
        ...

    async def drop(self, keys: Sequence[CacheKey]) -> bool:
        """Remove entries and leases; true when every node took it."""
        ...

    async def drop_all(self) -> bool:
        """Remove everything under the prefix; true when every node took it."""
        ...


class RedisCache:
    """The level in Redis Cluster."""

    def __init__(self, nodes: RedisNodes, keyspace: Keyspace, clock: Clock, *, ttl_s: int) -> None:
        nodes.register(_LEASE, _FILL)
        self._nodes = nodes
        self._slots = keyspace.slots
        self._prefix = keyspace.prefix
        self._ttl_s = ttl_s
        self._breaker = Breaker(clock, cooldown_s=COOLDOWN_S, threshold=FAILURES)

    @property
    def available(self) -> bool:
        """False after a failure, until something succeeded."""
        return self._breaker.closed

    async def _run(self, commands: list[tuple[int, Command]]) -> list[object] | None:
        if not commands:
            return []
        if not self._breaker.allow():
            return None
        try:
            replies = await self._nodes.run(commands)
        except TransientError as error:
            was_closed = self._breaker.closed
            self._breaker.failed()
            if was_closed and not self._breaker.closed:
                logger.warning("The cache is not used for now: %s", error)
            return None
        if not self._breaker.closed:
            logger.info("The cache is used again.")
        self._breaker.succeeded()
        return replies

    async def get(self, keys: Sequence[CacheKey]) -> list[Found]:
        """One round trip for hits; a second one plants the leases of what is missing."""
        entries = await self._run([(self._slots[k.group], ("HGET", k.name, "e")) for k in keys])
        if entries is None:
            return [Found()] * len(keys)
        found = [Found(entry=entry if isinstance(entry, bytes) else None) for entry in entries]
        missing = [index for index, item in enumerate(found) if item.entry is None]
        if not missing:
            return found
        nonce = secrets.token_bytes(12)
        leases = await self._run(
            [(self._slots[keys[i].group], _LEASE.call(keys[i].name, nonce, LEASE_S)) for i in missing]
        )
        for index, reply in zip(missing, leases or (), strict=False):
            if isinstance(reply, list):
                found[index] = Found(entry=reply[0], lease=reply[1])
        return found

    async def fill(self, entries: Sequence[tuple[CacheKey, bytes, bytes]]) -> bool:
        replies = await self._run(
            [
                (self._slots[key.group], _FILL.call(key.name, lease, entry, self._ttl_s))
                for key, lease, entry in entries
            ]
        )
        return replies is not None and all(reply == 1 for reply in replies)

    async def drop(self, keys: Sequence[CacheKey]) -> bool:
        groups: dict[int, list[bytes]] = {}
        for key in keys:
            groups.setdefault(key.group, []).append(key.name)
        commands: list[tuple[int, Command]] = [
            (self._slots[group], ("UNLINK", *names[start : start + _UNLINK_KEYS]))
            for group, names in groups.items()
            for start in range(0, len(names), _UNLINK_KEYS)
        ]
        return await self._run(commands) is not None

    async def drop_all(self) -> bool:
        try:
            await self._nodes.unlink_matching(f"{self._prefix}:*")
        except TransientError as error:
            logger.warning("The cache could not be emptied: %s", error)
            return False
        return True


class NoCache:
    """The level that knows nothing, where caching is switched off."""

    async def get(self, keys: Sequence[CacheKey]) -> list[Found]:
        return [Found()] * len(keys)

    async def fill(self, entries: Sequence[tuple[CacheKey, bytes, bytes]]) -> bool:
        return not entries

    async def drop(self, keys: Sequence[CacheKey]) -> bool:
        return True

    async def drop_all(self) -> bool:
        return True


def keys_of(changes: Changes, keyspace: Keyspace) -> list[CacheKey]:
    """What a commit makes old."""
    return [
        *map(keyspace.fragment, changes.entities),
        *map(keyspace.reference, changes.keys),
        *map(keyspace.lookup, changes.lookups),
    ]
