"""One contract for the shared level: the scripts in Redis do what the level in memory does that unit tests use."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from app.config.settings import Settings
from storage.cache.keyspace import CacheKey, Keyspace
from storage.cache.shared import CacheLevel, Found, RedisCache
from storage.redis.cluster import RedisNodes
from tests.unit.storage.fakes import MemoryLevel

pytestmark = pytest.mark.integration

ENTRY = b"\x00entry\xff"


@pytest.fixture
def keyspace(cache_prefix: str) -> Keyspace:
    return Keyspace(f"{cache_prefix}:1.1.1")


@pytest.fixture(params=["memory", "redis"])
async def level(
    request: pytest.FixtureRequest, keyspace: Keyspace, settings: Settings
) -> AsyncIterator[CacheLevel]:
    if request.param == "memory":
        yield MemoryLevel()
        return
    nodes = RedisNodes(settings.redis_nodes, timeout_s=5)
    made = RedisCache(nodes, keyspace, ttl_s=60)
    yield made
    await made.drop_all()
    await nodes.close()


@pytest.fixture
def key(keyspace: Keyspace) -> CacheKey:
    return keyspace.fragment(7)


@pytest.fixture
def neighbour(keyspace: Keyspace, key: CacheKey) -> CacheKey:
    """Another key of the same group."""
    return next(other for i in range(8, 10_000) if (other := keyspace.fragment(i)).group == key.group)


async def found(level: CacheLevel, key: CacheKey) -> Found:
    (reply,) = await level.lease([key])
    return reply


async def marked(level: CacheLevel, key: CacheKey, position: int) -> None:
    """Have the key's group get a mark, as its first miss does."""
    reply = await found(level, key)
    assert reply.mark_lease is not None
    await level.set_marks({key.group: reply.mark_lease}, position)


async def stored(level: CacheLevel, key: CacheKey) -> bytes | None:
    (entry,) = await level.get([key])
    return entry


async def test_a_miss_plants_one_lease_under_which_one_fill_is_stored(
    level: CacheLevel, key: CacheKey
) -> None:
    await marked(level, key, 100)
    first, second = await found(level, key), await found(level, key)
    assert first.lease is not None
    assert (first, second.mark, second.mark_lease) == (replace(second, lease=first.lease), 100, None)
    assert first.lease == second.lease, "who misses meanwhile fills under the same one"
    assert not await level.fill([(key, b"another", ENTRY)])
    assert await stored(level, key) is None
    assert await level.fill([(key, first.lease, ENTRY)])
    assert (await found(level, key), await stored(level, key)) == (Found(entry=ENTRY), ENTRY)
    assert not await level.fill([(key, first.lease, b"late")]), "it is spent"
    assert await stored(level, key) == ENTRY


async def test_a_key_without_a_lease_takes_no_fill(level: CacheLevel, key: CacheKey) -> None:
    assert not await level.fill([(key, b"", ENTRY), (key, b"l", ENTRY)])
    assert await stored(level, key) is None


async def test_an_invalidation_takes_entry_and_lease_and_raises_the_mark(
    level: CacheLevel, key: CacheKey, neighbour: CacheKey
) -> None:
    await marked(level, key, 100)
    lease = (await found(level, key)).lease
    assert lease is not None
    assert await level.invalidate([key], 150) == []
    assert not await level.fill([(key, lease, ENTRY)])
    again = await found(level, key)
    assert (again.mark, again.lease != lease) == (150, True)
    assert again.lease is not None
    assert await level.fill([(key, again.lease, ENTRY)])
    assert await level.invalidate([neighbour], 160) == []
    assert await stored(level, key) == ENTRY, "its own group's mark is raised, and nothing else"
    assert (await found(level, neighbour)).mark == 160
    assert await level.invalidate([key], 155) == []
    assert (await stored(level, key), (await found(level, key)).mark) == (None, 160), "it never falls"


async def test_a_missing_mark_stays_missing(level: CacheLevel, key: CacheKey) -> None:
    assert await level.invalidate([key], 150) == []
    reply = await found(level, key)
    assert (reply.mark, reply.mark_lease is not None) == (None, True)


async def test_a_leased_mark_collects_positions_and_stays_incomplete(
    level: CacheLevel, key: CacheKey, neighbour: CacheKey
) -> None:
    lease = (await found(level, key)).mark_lease
    assert lease is not None
    assert await level.invalidate([neighbour], 150) == []
    meanwhile = await found(level, neighbour)
    assert (meanwhile.mark, meanwhile.mark_lease) == (None, lease), "and everybody gets the same lease"
    await level.set_marks({key.group: b"another"}, 500)
    assert (await found(level, key)).mark is None, "it is set over its lease alone"
    await level.set_marks({key.group: lease}, 120)
    assert (await found(level, key)).mark == 150
    await level.set_marks({key.group: lease}, 110)
    assert (await found(level, key)).mark == 150


async def test_a_mark_is_not_made_by_who_lost_it(level: CacheLevel, key: CacheKey) -> None:
    await level.set_marks({key.group: b"of before"}, 500)
    assert (await found(level, key)).mark_lease is not None


async def test_a_position_that_is_not_known_takes_the_mark(level: CacheLevel, key: CacheKey) -> None:
    await marked(level, key, 100)
    assert await level.invalidate([key], 0) == []
    reply = await found(level, key)
    assert (reply.mark, reply.mark_lease is not None) == (None, True)


async def test_many_keys_at_once(level: CacheLevel, keyspace: Keyspace) -> None:
    keys = [keyspace.fragment(i) for i in range(3_000)]
    replies = await level.lease(keys)
    assert all(reply.lease is not None for reply in replies)
    leases = {key.group: reply.mark_lease or b"" for key, reply in zip(keys, replies, strict=True)}
    await level.set_marks(leases, 5)
    assert await level.fill(
        [(k, r.lease or b"", b"%d" % i) for i, (k, r) in enumerate(zip(keys, replies, strict=True))]
    )
    assert await level.get(keys) == [b"%d" % i for i in range(3_000)]
    assert await level.invalidate(keys[::2], 9) == []
    assert [entry is None for entry in await level.get(keys)] == [i % 2 == 0 for i in range(3_000)]


async def test_everything_can_be_dropped(level: CacheLevel, key: CacheKey) -> None:
    await marked(level, key, 100)
    lease = (await found(level, key)).lease
    assert lease is not None
    assert await level.fill([(key, lease, ENTRY)])
    assert await level.drop_all()
    reply = await found(level, key)
    assert (reply.entry, reply.mark) == (None, None)
