"""The shared level over connections that hang, are full, or fail."""

import asyncio

import pytest

from app.core.errors import BusyError
from storage.cache.keyspace import Keyspace
from storage.cache.shared import RedisCache
from storage.redis import connection
from storage.redis.cluster import RedisNodes
from storage.redis.node import FAILURES
from tests.unit.storage.fakes import ManualClock
from tests.unit.storage.redis.fake_redis import TIMEOUT_S, FakeRedis, array, bulk

KEYSPACE = Keyspace("up:1.1.1")
ECHO: tuple[int, connection.Command] = (0, ("ECHO", "a"))


async def test_an_invalidation_does_not_wait_for_the_breaker(server: FakeRedis) -> None:
    """Another process may be reading from the node again, and be given what is old."""
    nodes = RedisNodes([server.address], timeout_s=TIMEOUT_S, clock=ManualClock())  # type: ignore[arg-type]
    cache = RedisCache(nodes, KEYSPACE, ttl_s=60)
    key = KEYSPACE.fragment(1)
    server.handlers[b"HGET"] = lambda _: b"-LOADING\r\n"
    for _ in range(FAILURES):
        assert await cache.get([key]) == [None]
    del server.handlers[b"HGET"]
    server.handlers[b"EVALSHA"] = lambda _: b":1\r\n"
    assert await cache.invalidate([key], 7) == []
    assert server.commands[-1][-2:] == [key.name, b"7"]
    await nodes.close()


async def test_many_entries_are_stored_in_parts_between_which_others_pass(
    nodes: RedisNodes, server: FakeRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "MAX_UNSENT_BYTES", 512 * 1024)
    server.handlers = {b"HGET": lambda _: bulk(b"x"), b"EVALSHA": lambda _: b":1\r\n"}
    cache = RedisCache(nodes, KEYSPACE, ttl_s=60)
    key = KEYSPACE.fragment(2)
    assert await cache.get([key]) == [b"x"]
    entries = [(KEYSPACE.fragment(i), b"l", b"y" * 1_000) for i in range(3_000)]
    filled = asyncio.create_task(cache.fill(entries))
    found, owed = [], []
    while not filled.done():
        await asyncio.sleep(0)
        found += await cache.get([key])
        owed += await cache.invalidate([key], 5)
    assert await filled
    assert len(found) > 3
    assert set(found) == {b"x"}
    assert owed == []
    assert server.count(b"EVALSHA") == len(entries) + len(found)


async def test_no_room_here_says_nothing_of_the_node_and_keeps_out_no_invalidation(
    nodes: RedisNodes, server: FakeRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.handlers = {b"EVALSHA": lambda _: b":1\r\n"}
    cache = RedisCache(nodes, KEYSPACE, ttl_s=60)
    await nodes.run([ECHO])
    monkeypatch.setattr(connection, "MAX_WAITING", 0)
    for _ in range(2 * FAILURES):
        (reply,) = await nodes.run_each([ECHO])
        assert isinstance(reply, BusyError)
    assert nodes.used
    assert await cache.invalidate([KEYSPACE.fragment(3)], 5) == []
    monkeypatch.undo()
    assert await nodes.run([ECHO]) == [b"a"]


async def test_to_drop_everything_begins_with_the_marks(nodes: RedisNodes, server: FakeRedis) -> None:
    told: list[tuple[bytes, bytes]] = []
    server.handlers = {
        b"UNLINK": lambda command: (told.append((b"UNLINK", command[1])), b":1\r\n")[1],
        b"SCAN": lambda _: (told.append((b"SCAN", b"")), array(bulk(b"0"), array(bulk(b"k"))))[1],
    }
    cache = RedisCache(nodes, KEYSPACE, ttl_s=60)
    assert await cache.drop_all()
    marks = [(b"UNLINK", KEYSPACE.mark(group)) for group in range(len(KEYSPACE.slots))]
    assert told == [*marks, (b"SCAN", b""), (b"UNLINK", b"k")]
