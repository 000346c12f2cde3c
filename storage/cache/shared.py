"""The shared level of the cache: entries in Redis Cluster, stored only over a lease of one's own.

Design, section 5. Rule 2: a key is one hash with an entry `e` or a lease `l`. Keys fall into groups, and each
group has a mark: the highest position `p` of any commit that its keys were invalidated for. It has no TTL, so that
`volatile-lfu` never evicts it; only a node that restarts loses it.

Rule 3: after a commit the mark is raised where there is one, and entries and leases of the keys are removed. Rule 4: a
miss plants a lease, before PostgreSQL is read, and gets the mark: the position that the read has to reach, so that a
lagging replica brings nothing old back. Where the mark is missing it is leased too (`l`), the primary's position is
read, and set over that lease together with the positions that arrived meanwhile. Rule 5: a fill stores only where its
lease still is.
"""

import logging
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, cast

from app.core.errors import TransientError
from storage.cache.keyspace import CacheKey, Keyspace
from storage.redis.cluster import RedisNodes
from storage.redis.script import RedisScript

logger = logging.getLogger(__name__)

LEASE_S: Final = 30  # a fill that takes longer is answered and not stored
_KEYS_OF_A_CALL: Final = 500
_BYTES_OF_A_FILL: Final = 256 * 1024

# KEYS key, mark; ARGV nonce, seconds. Returns entry, lease, mark, lease of the mark.
_LEASE: Final = RedisScript("""
local v = redis.call('HMGET', KEYS[1], 'e', 'l')
if v[1] then return {v[1], false, false, false} end
if not v[2] then
  redis.call('HSET', KEYS[1], 'l', ARGV[1])
  redis.call('EXPIRE', KEYS[1], ARGV[2])
  v[2] = ARGV[1]
end
local m = redis.call('HMGET', KEYS[2], 'p', 'l')
if m[1] and not m[2] then return {false, v[2], m[1], false} end
if not m[2] then
  redis.call('HSET', KEYS[2], 'p', '0', 'l', ARGV[1])
  m[2] = ARGV[1]
end
return {false, v[2], false, m[2]}
""")
# KEYS key; ARGV lease, entry, seconds.
_FILL: Final = RedisScript("""
if redis.call('HGET', KEYS[1], 'l') ~= ARGV[1] then return 0 end
redis.call('HDEL', KEYS[1], 'l')
redis.call('HSET', KEYS[1], 'e', ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
""")
# KEYS mark; ARGV lease of the mark, position of the primary.
_SET_MARK: Final = RedisScript("""
local m = redis.call('HMGET', KEYS[1], 'p', 'l')
if not m[1] or (m[2] and m[2] ~= ARGV[1]) then return 0 end
if tonumber(m[1]) < tonumber(ARGV[2]) then redis.call('HSET', KEYS[1], 'p', ARGV[2]) end
redis.call('HDEL', KEYS[1], 'l')
return 1
""")
# KEYS mark, keys…; ARGV position, 0 where it is not known. A mark without its highest position is worth nothing. The
# keys come first: a node that is out of memory lets a script take memory once it has written.
_INVALIDATE: Final = RedisScript("""
for i = 2, #KEYS do redis.call('UNLINK', KEYS[i]) end
local p = redis.call('HGET', KEYS[1], 'p')
if p and tonumber(ARGV[1]) == 0 then redis.call('DEL', KEYS[1])
elseif p and tonumber(p) < tonumber(ARGV[1]) then redis.call('HSET', KEYS[1], 'p', ARGV[1]) end
return 1
""")


@dataclass(frozen=True, slots=True)
class Found:
    """An entry, or the lease under which it may be filled; neither where the cache can't be asked.

    `mark` is the position that the read has to reach; where it is None, `mark_lease` is what `set_marks` needs.
    """

    entry: bytes | None = None
    lease: bytes | None = None
    mark: int | None = None
    mark_lease: bytes | None = None


NOTHING: Final = Found()


class CacheLevel(Protocol):
    """The shared level. None of these raises; a node that fails is a node that knows nothing."""

    async def get(self, keys: Sequence[CacheKey]) -> list[bytes | None]:
        """The entries, in order."""
        ...

    async def lease(self, keys: Sequence[CacheKey]) -> list[Found]:
        """Plant leases where there is no entry, before the database is read."""
        ...

    async def set_marks(self, leases: Mapping[int, bytes], position: int) -> None:
        """Set the marks of groups to a position of the primary that was read after their leases were planted."""
        ...

    async def fill(self, entries: Sequence[tuple[CacheKey, bytes, bytes]]) -> bool:
        """Store (key, lease, entry) where the lease is still there; true when all of them were stored."""
        ...

    async def invalidate(self, keys: Sequence[CacheKey], position: int) -> list[CacheKey]:
        """Raise the marks and remove entries and leases; returns those of the keys whose node did not take it."""
        ...

    async def drop_all(self) -> bool:
        """Remove everything under the prefix; true when every node took it."""
        ...


class RedisCache:
    """The level in Redis Cluster."""

    def __init__(self, nodes: RedisNodes, keyspace: Keyspace, *, ttl_s: int) -> None:
        nodes.register(_LEASE, _FILL, _SET_MARK, _INVALIDATE)
        self._nodes = nodes
        self._keys = keyspace
        self._slots = keyspace.slots
        self._ttl_s = ttl_s

    async def get(self, keys: Sequence[CacheKey]) -> list[bytes | None]:
        slots = self._slots
        replies = await self._nodes.run_each([(slots[k.group], ("HGET", k.name, "e")) for k in keys])
        return [None if isinstance(reply, TransientError) else reply for reply in replies]  # type: ignore[misc]

    async def lease(self, keys: Sequence[CacheKey]) -> list[Found]:
        nonce = secrets.token_bytes(12)
        replies = await self._nodes.run_each(
            [
                (
                    self._slots[key.group],
                    _LEASE.call((key.name, self._keys.mark(key.group)), nonce, LEASE_S),
                )
                for key in keys
            ]
        )
        return [_found(reply) for reply in replies]

    async def set_marks(self, leases: Mapping[int, bytes], position: int) -> None:
        await self._nodes.run_each(
            [
                (self._slots[group], _SET_MARK.call((self._keys.mark(group),), lease, position))
                for group, lease in leases.items()
            ]
        )

    async def fill(self, entries: Sequence[tuple[CacheKey, bytes, bytes]]) -> bool:
        is_stored = True
        for part in _parts(entries):
            replies = await self._nodes.run_each(
                [
                    (self._slots[key.group], _FILL.call((key.name,), lease, entry, self._ttl_s))
                    for key, lease, entry in part
                ]
            )
            is_stored &= all(reply == 1 for reply in replies)
        return is_stored

    async def invalidate(self, keys: Sequence[CacheKey], position: int) -> list[CacheKey]:
        groups: dict[int, list[CacheKey]] = {}
        for key in keys:
            groups.setdefault(key.group, []).append(key)
        calls = [
            (group, of_group[i : i + _KEYS_OF_A_CALL])
            for group, of_group in groups.items()
            for i in range(0, len(of_group), _KEYS_OF_A_CALL)
        ]
        # Whatever this process' breaker says: another one may be reading from the node again.
        replies = await self._nodes.run_each(
            [
                (
                    self._slots[group],
                    _INVALIDATE.call((self._keys.mark(group), *(key.name for key in dropped)), position),
                )
                for group, dropped in calls
            ],
            is_urgent=True,
        )
        return [
            key
            for (_, dropped), reply in zip(calls, replies, strict=True)
            if isinstance(reply, TransientError)
            for key in dropped
        ]

    async def drop_all(self) -> bool:
        marks = [(slot, ("UNLINK", self._keys.mark(group))) for group, slot in enumerate(self._slots)]
        try:
            # First of all: they lack the commits for whose sake all this is dropped, so that a fill that begins once
            # its key was passed could store what a replica has of before.
            await self._nodes.run(marks)
            await self._nodes.unlink_matching(f"{self._keys.prefix}:*")
        except TransientError as error:
            logger.warning("The cache could not be emptied: %s", error)
            return False
        return True


class NoCache:
    """The level that knows nothing, where there is no Redis."""

    async def get(self, keys: Sequence[CacheKey]) -> list[bytes | None]:
        return [None] * len(keys)

    async def lease(self, keys: Sequence[CacheKey]) -> list[Found]:
        return [NOTHING] * len(keys)

    async def set_marks(self, leases: Mapping[int, bytes], position: int) -> None:
        pass

    async def fill(self, entries: Sequence[tuple[CacheKey, bytes, bytes]]) -> bool:
        return not entries

    async def invalidate(self, keys: Sequence[CacheKey], position: int) -> list[CacheKey]:
        return []

    async def drop_all(self) -> bool:
        return True


class UnreadCache(NoCache):
    """The level of a worker that does not read from the cache: it stores nothing, and drops what it changes.

    Other workers read what is in Redis, so each commit has to be dropped from there all the same.
    """

    def __init__(self, shared: CacheLevel) -> None:
        self._shared = shared

    async def invalidate(self, keys: Sequence[CacheKey], position: int) -> list[CacheKey]:
        return await self._shared.invalidate(keys, position)

    async def drop_all(self) -> bool:
        return await self._shared.drop_all()


def _parts(
    entries: Sequence[tuple[CacheKey, bytes, bytes]],
) -> Iterator[Sequence[tuple[CacheKey, bytes, bytes]]]:
    """In order, each of about _BYTES_OF_A_FILL: other commands pass between them."""
    start = size = 0
    for end, (_, _, entry) in enumerate(entries):
        size += len(entry)
        if size >= _BYTES_OF_A_FILL:
            yield entries[start : end + 1]
            start, size = end + 1, 0
    if start < len(entries):
        yield entries[start:]


def _found(reply: object) -> Found:
    if isinstance(reply, TransientError):
        return NOTHING
    entry, lease, mark, mark_lease = cast("list[bytes | None]", reply)
    return Found(entry, lease, None if mark is None else int(mark), mark_lease)
