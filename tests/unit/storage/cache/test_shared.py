"""The breaker and the invalidations that the cache did not take, on a cache that a test switches off."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from app.core.clock import SystemClock
from app.core.models import Changes, EntityKey, Lookup
from storage.breaker import Breaker
from storage.cache import invalidation
from storage.cache.id_lists import IdList
from storage.cache.invalidation import CacheInvalidator, PendingInvalidations
from storage.cache.keyspace import CacheKey, Keyspace
from storage.cache.leases import SharedLevel
from storage.cache.memory import LIFETIME_S, Memory, MemoryCache
from storage.cache.shared import Found
from tests.unit.storage.fakes import ManualClock

KEYSPACE = Keyspace("up:1.1.1")


_LIST = IdList("f", "x", [1], 1, 1, 1.0)


class SwitchableCache:
    def __init__(self) -> None:
        self.works = True
        self.away: set[int] = set()  # groups whose node does not answer
        self.dropped: list[set[bytes]] = []
        self.positions: list[int] = []
        self.emptied = 0

    async def get(self, keys: Sequence[CacheKey]) -> list[bytes | None]:
        return [b"entry"] * len(keys)

    async def lease(self, keys: Sequence[CacheKey]) -> list[Found]:
        return [Found(lease=b"lease", mark=1)] * len(keys)

    async def set_marks(self, leases: Mapping[int, bytes], position: int) -> None:
        raise NotImplementedError

    async def fill(self, entries: Sequence[tuple[CacheKey, bytes, bytes]]) -> bool:
        return self.works

    async def invalidate(self, keys: Sequence[CacheKey], position: int) -> list[CacheKey]:
        taken = [key for key in keys if self.works and key.group not in self.away]
        if taken:
            self.dropped.append({key.name for key in taken})
            self.positions.append(position)
        return [key for key in keys if key not in taken]

    async def drop_all(self) -> bool:
        self.emptied += self.works
        return self.works


class HeardMessages:
    def __init__(self) -> None:
        self.works = True
        self.told: list[set[int | bytes]] = []

    async def publish(self, keys: Sequence[CacheKey]) -> list[CacheKey]:
        if not self.works:
            return list(keys)
        if keys:
            self.told.append({key.local for key in keys})
        return []

    async def publish_everything(self) -> bool:
        return self.works


def changed(*ids: int, position: int = 1) -> Changes:
    return Changes(position=position, entities=frozenset(ids))


def names(*ids: int) -> set[bytes]:
    return {KEYSPACE.fragment(i).name for i in ids}


@pytest.fixture
def cache() -> SwitchableCache:
    return SwitchableCache()


@pytest.fixture
def memory() -> Memory:
    made: Memory = MemoryCache(SystemClock(), max_bytes=1_000_000)
    made.restore()
    return made


@pytest.fixture
def heard() -> HeardMessages:
    return HeardMessages()


@pytest.fixture
async def pending(
    cache: SwitchableCache, memory: Memory, heard: HeardMessages, monkeypatch: pytest.MonkeyPatch
) -> PendingInvalidations:
    monkeypatch.setattr(invalidation, "RETRY_S", 0.001)
    return PendingInvalidations(CacheInvalidator(cache, KEYSPACE, memory, heard))


async def settled(pending: PendingInvalidations) -> None:
    for _ in range(1_000):
        if not pending.behind:
            return
        await asyncio.sleep(0.001)
    raise AssertionError("still pending")


async def test_what_was_not_taken_is_retried_until_it_is(
    cache: SwitchableCache, pending: PendingInvalidations
) -> None:
    cache.works = False
    await pending.submit(changed(1))
    await pending.submit(changed(2))
    await asyncio.sleep(0.01)
    assert (cache.dropped, len(pending)) == ([], 2)
    cache.works = True
    await settled(pending)
    assert set().union(*cache.dropped) == names(1, 2)
    await pending.submit(changed(3))
    assert cache.dropped[-1] == names(3)


async def test_a_key_is_not_read_while_its_node_is_owed_its_invalidation(
    cache: SwitchableCache, pending: PendingInvalidations
) -> None:
    shared = SharedLevel(cache, pending, source=None)  # type: ignore[arg-type]  # it is not asked
    keys = [KEYSPACE.fragment(i) for i in (1, 9, 2)]
    leased = Found(lease=b"lease", mark=1)
    assert (await shared.get(keys), await shared.lease(keys)) == ([b"entry"] * 3, [leased] * 3)
    cache.works = False
    await pending.submit(changed(1, 2))
    for _ in range(5):  # between retries and while one is under way
        assert await shared.get(keys) == [None, b"entry", None]
        assert await shared.lease(keys) == [Found(), leased, Found()]
        await asyncio.sleep(0.001)
    cache.works = True
    await settled(pending)
    assert (await shared.get(keys), await shared.lease(keys)) == ([b"entry"] * 3, [leased] * 3)


async def test_while_everything_is_owed_no_key_is_read(
    cache: SwitchableCache, pending: PendingInvalidations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invalidation, "MAX_PENDING", 1)
    shared = SharedLevel(cache, pending, source=None)  # type: ignore[arg-type]  # it is not asked
    cache.works = False
    await pending.submit(changed(1, 2))
    assert await shared.get([KEYSPACE.fragment(9)]) == [None]


async def test_a_node_that_is_away_keeps_nobody_from_hearing_of_the_others(
    cache: SwitchableCache, pending: PendingInvalidations, heard: HeardMessages
) -> None:
    cache.away = {KEYSPACE.fragment(1).group}
    await pending.submit(changed(1, 2))
    await pending.submit(changed(3))
    assert (cache.dropped[:2], heard.told) == ([names(2), names(3)], [{1, 2}, {3}])
    assert [pending.owes(KEYSPACE.fragment(i)) for i in (1, 2, 3)] == [True, False, False]
    cache.away = set()
    await settled(pending)
    assert (cache.dropped[2:], heard.told[2:]) == ([names(1)], [{1}])


async def test_what_redis_does_not_take_is_told_at_once_and_when_it_has(
    cache: SwitchableCache, pending: PendingInvalidations, heard: HeardMessages
) -> None:
    """A node that has just started refuses its keys and passes messages on."""
    cache.works = False
    await pending.submit(changed(1))
    await asyncio.sleep(0.01)
    assert heard.told == [{1}], "once, however often it is tried"
    await pending.submit(changed(1))
    assert heard.told == [{1}, {1}], "that is another change"
    heard.works = False
    await pending.submit(changed(1))
    await asyncio.sleep(0.01)
    heard.works = True
    await asyncio.sleep(0.01)
    assert heard.told == [{1}, {1}, {1}], "what nobody heard is told again"
    cache.works = True
    await settled(pending)
    assert heard.told == [{1}] * 4, "others may have read it from Redis meanwhile"


async def test_memory_and_everybody_else_hear_of_it(
    pending: PendingInvalidations, memory: Memory, heard: HeardMessages
) -> None:
    entry = IdList("f", "x", [1], 1, 1, 1.0)
    memory.put(1, entry, 10, memory.ticket())
    memory.put(2, entry, 10, memory.ticket())
    await pending.submit(changed(1))
    assert (memory.get(1), memory.get(2)) == (None, entry)
    assert heard.told == [{1}]


async def test_what_is_read_while_redis_is_told_does_not_stay(
    cache: SwitchableCache, memory: Memory, heard: HeardMessages, pending: PendingInvalidations
) -> None:
    """A node that has yet to drop the entry, or can't for now, shows it to who asks meanwhile."""
    invalidate = cache.invalidate

    async def reads_first(keys: Sequence[CacheKey], position: int) -> list[CacheKey]:
        ticket = memory.ticket()
        memory.put(1, _LIST, 10, ticket)
        assert memory.get(1) is _LIST
        return await invalidate(keys, position)

    cache.invalidate = reads_first  # type: ignore[method-assign]
    await pending.submit(changed(1))
    assert memory.get(1) is None
    publish = heard.publish

    async def reads_meanwhile(keys: Sequence[CacheKey]) -> list[CacheKey]:
        memory.put(1, _LIST, 10, memory.ticket())
        return await publish(keys)

    heard.publish = reads_meanwhile  # type: ignore[method-assign]
    cache.invalidate = invalidate  # type: ignore[method-assign]
    cache.works = False
    await pending.submit(changed(1))
    assert memory.get(1) is None
    assert pending.owes(KEYSPACE.fragment(1))
    await pending.close()


async def test_a_message_that_nobody_took_is_sent_again(
    pending: PendingInvalidations, heard: HeardMessages
) -> None:
    heard.works = False
    await pending.submit(changed(1))
    assert pending.behind
    heard.works = True
    await settled(pending)
    assert heard.told == [{1}]


@pytest.mark.parametrize(("positions", "kept"), [((5, 9, 7), 9), ((5, 0, 7), 0)])
async def test_what_is_kept_is_dropped_at_the_highest_position_or_at_none(
    cache: SwitchableCache, pending: PendingInvalidations, positions: tuple[int, ...], kept: int
) -> None:
    cache.works = False
    for number, position in enumerate(positions):
        await pending.submit(changed(number, position=position))
    cache.works = True
    await settled(pending)
    assert cache.positions == [kept]


async def test_too_much_pending_becomes_everything(
    cache: SwitchableCache, pending: PendingInvalidations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invalidation, "MAX_PENDING", 10)
    cache.works = False
    await pending.submit(changed(*range(11)))
    assert (len(pending), pending.behind) == (0, True)
    cache.works = True
    await settled(pending)
    assert (cache.emptied, cache.dropped) == (1, [])


async def test_what_is_submitted_while_everything_is_dropped_is_dropped_too(
    cache: SwitchableCache, pending: PendingInvalidations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invalidation, "MAX_PENDING", 10)
    cache.works = False
    await pending.submit(changed(*range(11)))

    async def drop_all() -> bool:
        await pending.submit(changed(99))  # its key may have been passed already
        return True

    monkeypatch.setattr(cache, "drop_all", drop_all)
    cache.works = True
    await settled(pending)
    assert cache.dropped == [names(99)]


async def test_what_may_not_be_visible_yet_is_told_again(
    cache: SwitchableCache, pending: PendingInvalidations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invalidation, "UNCLEAR_AGAIN_S", (0.001, 0.002, 60))
    await pending.submit(changed(1, position=0))
    await pending.submit(changed(2, position=7))
    async with asyncio.timeout(10):
        while len(cache.dropped) < 4:  # noqa: ASYNC110 - a timer's
            await asyncio.sleep(0.001)
    assert sorted(cache.dropped, key=str) == sorted([names(1)] * 3 + [names(2)], key=str)
    await pending.close()


async def test_closing_stops_the_retries(cache: SwitchableCache, pending: PendingInvalidations) -> None:
    cache.works = False
    await pending.submit(changed(1))
    await pending.close()
    cache.works = True
    await asyncio.sleep(0.01)
    assert cache.dropped == []


def test_changes_name_their_keys_by_hash() -> None:
    changes = Changes(
        position=1,
        entities=frozenset({7}),
        keys=frozenset({EntityKey("user", "secret@x")}),
        lookups=frozenset({Lookup("email", "secret@x")}),
    )
    keys = [KEYSPACE.key(stale) for stale in changes.stale]
    assert len({key.name for key in keys}) == 3
    assert not any(b"secret" in key.name for key in keys)
    assert all(f"{{g{key.group}}}".encode() in key.name for key in keys)


def test_a_breaker_lets_one_probe_through() -> None:
    clock = ManualClock()
    breaker = Breaker(clock, cooldown_s=1)
    assert breaker.allow()
    breaker.failed()
    assert not breaker.allow()
    clock.time = 1.0
    assert [breaker.allow(), breaker.allow()] == [True, False]
    breaker.failed()
    clock.time = 1.5
    assert not breaker.allow()
    clock.time = 2.0
    assert breaker.allow()
    breaker.succeeded()
    assert [breaker.allow(), breaker.allow()] == [True, True]


def test_to_peek_keeps_nothing_longer() -> None:
    clock = ManualClock()
    memory: Memory = MemoryCache(clock, max_bytes=8_000)  # type: ignore[arg-type]
    memory.restore()
    entry = IdList("f", "x", [1], 1, 1, 1.0)
    memory.put(1, entry, 700, memory.ticket())
    for key in range(2, 10):
        assert memory.peek(1) == entry
        memory.put(key, entry, 700, memory.ticket())
    assert 1 not in memory.keys()  # noqa: SIM118 - it is no mapping
    assert memory.peek(9) == entry
    clock.time += LIFETIME_S + 1
    assert (memory.peek(9), 9 in memory.keys()) == (None, True)  # noqa: SIM118
