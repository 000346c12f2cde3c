"""Calls that share one connection to each node: order, time limits, failures and recovery."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import uvloop

from app.core.errors import TransientError
from storage.redis import connection
from storage.redis.cluster import RedisNodes
from storage.redis.node import COOLDOWN_S, FAILURES
from storage.redis.script import RedisScript
from tests.unit.storage.fakes import ManualClock
from tests.unit.storage.redis.fake_redis import TIMEOUT_S, FakeRedis, array, bulk, fake_redis

Commands = list[tuple[int, connection.Command]]
SCRIPT = RedisScript("return 1")


@pytest.fixture
async def other() -> AsyncIterator[FakeRedis]:
    async with fake_redis() as node:
        yield node


async def echo(nodes: RedisNodes, *texts: str, slot: int = 0) -> list[object]:
    return await nodes.run([(slot, ("ECHO", text)) for text in texts])


async def started(nodes: RedisNodes, *texts: str) -> asyncio.Task[list[object]]:
    """A call whose commands are on their way."""
    task = asyncio.create_task(echo(nodes, *texts))
    await asyncio.sleep(0.02)
    return task


@pytest.mark.parametrize("piece_bytes", [0, 1, 7])
async def test_each_caller_gets_its_own_replies_in_order(
    nodes: RedisNodes, server: FakeRedis, piece_bytes: int
) -> None:
    server.piece_bytes = piece_bytes
    calls = [[f"{caller}.{n}" for n in range(1 + caller % 4)] for caller in range(60)]
    replies = await asyncio.gather(*(echo(nodes, *texts) for texts in calls))
    assert replies == [[text.encode() for text in texts] for texts in calls]
    assert (server.connections, server.count(b"CLUSTER")) == (1, 1)


async def test_a_run_over_several_nodes_is_put_together_in_order(server: FakeRedis, other: FakeRedis) -> None:
    server.slots = [(0, 99, server), (100, 16_383, other)]
    nodes = RedisNodes([server.address], timeout_s=TIMEOUT_S)
    texts = [str(n).encode() for n in range(50)]
    assert await nodes.run([(n * 4, ("ECHO", text)) for n, text in enumerate(texts)]) == texts
    assert (server.count(b"ECHO"), other.count(b"ECHO")) == (25, 25)
    assert await nodes.run([]) == []
    await nodes.close()


async def test_a_node_that_is_away_costs_its_own_commands_alone(server: FakeRedis, other: FakeRedis) -> None:
    server.slots = [(0, 99, server), (100, 199, other)]
    clock = ManualClock()
    nodes = RedisNodes([server.address], timeout_s=TIMEOUT_S, clock=clock)  # type: ignore[arg-type]
    commands: Commands = [(slot, ("ECHO", str(slot))) for slot in (0, 100, 1, 200)]

    async def each() -> tuple[list[object], list[str]]:
        replies = await nodes.run_each(commands)
        return replies[::2], [str(reply) for reply in replies[1::2]]

    away = "A slot of the Redis Cluster has no node."
    assert await each() == ([b"0", b"1"], ["b'100'", away])
    other.handlers[b"ECHO"] = lambda _: b"-CLUSTERDOWN\r\n"
    for _ in range(FAILURES):
        assert await each() == ([b"0", b"1"], ["Redis answers CLUSTERDOWN.", away])
    asked = other.count(b"ECHO")
    for _ in range(5):
        assert await each() == ([b"0", b"1"], ["Redis failed a moment ago.", away])
    assert other.count(b"ECHO") == asked, "it is left alone"
    assert server.count(b"CLUSTER") + other.count(b"CLUSTER") < 4, "the map is not read for nothing"
    with pytest.raises(TransientError):
        await nodes.run(commands[:2])
    assert other.count(b"ECHO") == asked + 1, "past the breaker"
    del other.handlers[b"ECHO"]
    clock.time += COOLDOWN_S
    assert await each() == ([b"0", b"1"], ["b'100'", away])
    await nodes.close()


async def test_nothing_is_unlinked_while_a_node_is_away(server: FakeRedis, other: FakeRedis) -> None:
    server.slots = [(0, 99, server), (100, 16_383, other)]
    server.handlers[b"SCAN"] = lambda _: array(bulk(b"0"), array(bulk(b"up:1")))
    nodes = RedisNodes([server.address], timeout_s=TIMEOUT_S)
    await echo(nodes, "warm")
    await other.stop()
    with pytest.raises(TransientError):
        await nodes.unlink_matching("up:*")
    assert server.count(b"SCAN") == 0
    await nodes.close()


async def test_replies_of_any_shape(nodes: RedisNodes, server: FakeRedis) -> None:
    server.handlers[b"MANY"] = lambda _: array(bulk(b"a\r\nb"), b"$-1\r\n", b":7\r\n", array())
    assert await nodes.run([(0, ("MANY",)), (0, ("ECHO", 12))]) == [[b"a\r\nb", None, 7, []], b"12"]


async def test_a_cancelled_caller_leaves_the_order_alone(nodes: RedisNodes, server: FakeRedis) -> None:
    await echo(nodes, "warm")
    server.speaks.clear()
    first, second = await started(nodes, "a", "b"), await started(nodes, "c")
    first.cancel()
    await asyncio.sleep(0)
    server.speaks.set()
    assert await second == [b"c"]
    assert await echo(nodes, "d") == [b"d"]
    assert server.connections == 1


async def test_a_caller_cancelled_while_connecting_takes_the_attempt_from_nobody(
    nodes: RedisNodes, server: FakeRedis
) -> None:
    server.speaks.clear()
    first, second = await started(nodes, "a"), await started(nodes, "b")
    first.cancel()
    await asyncio.sleep(0)
    server.speaks.set()
    assert await second == [b"b"]
    assert server.connections == 1


async def test_a_hanging_node_fails_all_who_wait_and_is_asked_anew(
    nodes: RedisNodes, server: FakeRedis
) -> None:
    await echo(nodes, "warm")
    server.speaks.clear()
    before = time.monotonic()
    calls = [await started(nodes, "old", "older"), *[await started(nodes, str(n)) for n in range(3)]]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {TransientError}
    assert time.monotonic() - before < 2 * TIMEOUT_S
    server.speaks.set()
    assert await echo(nodes, "new") == [b"new"]
    await asyncio.sleep(0.02)
    assert (server.connections, server.open_connections) == (2, 1)


async def test_a_silent_node_costs_a_large_call_no_more(nodes: RedisNodes, server: FakeRedis) -> None:
    await echo(nodes, "warm")
    server.speaks.clear()
    before = time.monotonic()
    with pytest.raises(TransientError, match="in time"):
        await echo(nodes, *["x"] * 5_000)
    assert time.monotonic() - before < 3 * TIMEOUT_S


async def test_a_node_that_trickles_is_not_waited_for(nodes: RedisNodes, server: FakeRedis) -> None:
    await echo(nodes, "warm")
    server.piece_bytes, server.pause_s = 1, TIMEOUT_S / 5
    before = time.monotonic()
    with pytest.raises(TransientError, match="in time"):
        await echo(nodes, "x" * 100)
    assert TIMEOUT_S <= time.monotonic() - before < 2 * TIMEOUT_S


async def test_silence_counts_from_the_call_on(nodes: RedisNodes, server: FakeRedis) -> None:
    await echo(nodes, "warm")
    await asyncio.sleep(TIMEOUT_S * 0.9)
    server.speaks.clear()
    call = asyncio.create_task(echo(nodes, "a"))
    await asyncio.sleep(TIMEOUT_S * 0.6)
    server.speaks.set()
    assert await call == [b"a"]


async def test_a_large_call_has_its_time_while_replies_come(
    nodes: RedisNodes, server: FakeRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "PER_COMMAND_S", TIMEOUT_S / 10)
    await echo(nodes, "warm")
    server.piece_bytes, server.pause_s = 100, TIMEOUT_S / 30
    before = time.monotonic()
    assert await echo(nodes, *["x"] * 60) == [b"x"] * 60
    assert time.monotonic() - before > 2 * TIMEOUT_S


async def test_a_busy_process_does_not_take_itself_for_a_hanging_node(
    nodes: RedisNodes, server: FakeRedis
) -> None:
    await echo(nodes, "warm")
    for text in ("a", "b", "c"):
        call = asyncio.create_task(echo(nodes, text))
        await asyncio.sleep(0)
        time.sleep(TIMEOUT_S * 2)  # noqa: ASYNC251 — the point
        assert await call == [text.encode()]
        await asyncio.sleep(0.05)
    assert server.connections == 1


async def test_a_process_whose_every_turn_is_late_goes_on_and_makes_new_connections(
    nodes: RedisNodes, server: FakeRedis
) -> None:
    async def hog() -> None:
        while True:
            time.sleep(TIMEOUT_S * 2)  # noqa: ASYNC251 — the point
            await asyncio.sleep(0)

    nodes.register(SCRIPT)  # so that to connect takes a reply
    hogging = asyncio.create_task(hog())
    for text in ("a", "b"):
        assert await nodes.run_each([(0, ("ECHO", text))]) == [text.encode()]
    assert (nodes.used, server.connections) == (True, 1)
    server.speaks.clear()
    (silence,) = await nodes.run_each([(0, ("ECHO", "c"))])
    assert isinstance(silence, TransientError), "a node that hangs is found out all the same"
    hogging.cancel()
    server.speaks.set()


@pytest.mark.parametrize("code", ["MOVED", "ASK", "CLUSTERDOWN", "LOADING", "WRONGTYPE"])
async def test_an_error_fails_its_caller_alone_and_the_map_is_read_again(
    nodes: RedisNodes, server: FakeRedis, code: str
) -> None:
    await echo(nodes, "warm")
    server.handlers[b"FAIL"] = lambda _: f"-{code} secret 127.0.0.1:1\r\n".encode()
    failing = nodes.run([(0, ("ECHO", "a")), (0, ("FAIL",)), (0, ("ECHO", "b"))])
    failed, replies = await asyncio.gather(failing, echo(nodes, "c"), return_exceptions=True)
    assert (repr(failed), replies) == (f"TransientError('Redis answers {code}.')", [b"c"])
    assert await echo(nodes, "d") == [b"d"]
    assert (server.connections, server.count(b"CLUSTER")) == (1, 2)


async def test_a_slot_that_moved_is_found(nodes: RedisNodes, server: FakeRedis, other: FakeRedis) -> None:
    await echo(nodes, "warm")
    server.handlers[b"ECHO"] = lambda _: f"-MOVED 0 {other.address}\r\n".encode()
    server.slots = other.slots = [(0, 16_383, other)]
    with pytest.raises(TransientError, match="MOVED"):
        await echo(nodes, "a")
    assert await echo(nodes, "a") == [b"a"]
    assert other.commands == [[b"ECHO", b"a"]]


async def test_a_node_that_died_is_replaced(nodes: RedisNodes, server: FakeRedis, other: FakeRedis) -> None:
    server.slots = [(0, 16_383, other)]
    assert await echo(nodes, "a") == [b"a"]
    await other.stop()
    await asyncio.sleep(0.02)
    with pytest.raises(TransientError):
        await echo(nodes, "b")
    server.slots = [(0, 16_383, server)]
    assert await echo(nodes, "b") == [b"b"]


async def test_a_node_that_left_the_cluster_is_let_go(
    nodes: RedisNodes, server: FakeRedis, other: FakeRedis
) -> None:
    server.slots = [(0, 16_383, other)]
    assert await echo(nodes, "a") == [b"a"]
    other.speaks.clear()
    waiting = await started(nodes, "b")
    server.slots = [(0, 16_383, server)]
    with pytest.raises(TransientError):
        await waiting
    assert await echo(nodes, "c") == [b"c"]
    assert [node.address[1] for node in nodes._nodes.values()] == [server.port]


async def test_a_slot_without_a_node_is_looked_for_again(nodes: RedisNodes, server: FakeRedis) -> None:
    server.slots = [(0, 99, server)]
    with pytest.raises(TransientError, match="no node"):
        await echo(nodes, "a", slot=100)
    server.slots = [(0, 16_383, server)]
    assert await echo(nodes, "a", slot=100) == [b"a"]


async def test_a_hanging_seed_costs_nothing_where_another_answers(
    server: FakeRedis, other: FakeRedis
) -> None:
    other.speaks.clear()
    nodes = RedisNodes([other.address, server.address], timeout_s=60)
    async with asyncio.timeout(5):
        assert await echo(nodes, "a") == [b"a"]
    await nodes.close()


async def test_with_no_node_there_every_call_fails_until_one_is(nodes: RedisNodes, server: FakeRedis) -> None:
    await echo(nodes, "warm")
    await server.stop()
    for _ in range(3):
        with pytest.raises(TransientError):
            await echo(nodes, "a")
    await server.start()
    assert await until_echoed(nodes, "a") == [b"a"]


async def until_echoed(nodes: RedisNodes, text: str) -> list[object]:
    """Call until a node that was away is connected again."""
    async with asyncio.timeout(2):
        while True:
            with contextlib.suppress(TransientError):
                return await echo(nodes, text)
            await asyncio.sleep(0.01)


async def test_nobody_waits_for_a_node_that_could_not_be_connected(
    nodes: RedisNodes, server: FakeRedis, other: FakeRedis
) -> None:
    server.slots = [(0, 99, server), (100, 16_383, other)]
    await echo(nodes, "warm", slot=200)
    other.speaks.clear()
    nodes.register(SCRIPT)  # so that connecting needs an answer
    other.disconnect()
    for _ in range(2):  # the connection is lost, then an attempt takes its time
        with pytest.raises(TransientError):
            await echo(nodes, "a", slot=200)
    before = time.monotonic()
    for _ in range(50):
        with pytest.raises(TransientError):
            await echo(nodes, "a", slot=200)
        assert await echo(nodes, "b") == [b"b"]
    assert time.monotonic() - before < 50 * TIMEOUT_S / 3
    other.speaks.set()
    async with asyncio.timeout(5):
        while other.open_connections == 0 or not nodes._nodes[("127.0.0.1", other.port)].is_connected:
            with contextlib.suppress(TransientError):
                await echo(nodes, "c", slot=200)
            await asyncio.sleep(0.01)
    assert await echo(nodes, "d", slot=200) == [b"d"]


async def test_a_connection_lost_between_two_replies(nodes: RedisNodes, server: FakeRedis) -> None:
    await echo(nodes, "warm")

    def lose(_: list[bytes]) -> bytes:
        server.disconnect()
        return b""

    server.handlers[b"LOSE"] = lose
    with pytest.raises(TransientError, match="lost"):
        await nodes.run([(0, ("ECHO", "a")), (0, ("LOSE",)), (0, ("ECHO", "b"))])
    assert await echo(nodes, "c") == [b"c"]
    assert server.connections == 2


@pytest.mark.parametrize("noise", [b"+surplus\r\n", b"HTTP/1.1 400\r\n"])
async def test_what_does_not_belong_there_ends_the_connection(
    nodes: RedisNodes, server: FakeRedis, noise: bytes
) -> None:
    await echo(nodes, "warm")
    server.push(noise)
    await asyncio.sleep(0.02)
    assert await echo(nodes, "a") == [b"a"]
    assert server.connections == 2


async def test_what_waits_is_bounded(
    nodes: RedisNodes, server: FakeRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "MAX_WAITING", 4)
    await echo(nodes, "warm")
    server.speaks.clear()
    first = await started(nodes, *"abcd")
    with pytest.raises(TransientError, match="Too many"):
        await echo(nodes, "e")
    server.speaks.set()
    assert await first == [b"a", b"b", b"c", b"d"]
    assert await echo(nodes, "f") == [b"f"]
    assert server.connections == 1


async def test_what_a_node_does_not_read_is_bounded(nodes: RedisNodes, server: FakeRedis) -> None:
    await echo(nodes, "warm")
    server.reads.clear()
    server.speaks.clear()
    large = "x" * 2**20
    first = await started(nodes, *[large] * 20)
    with pytest.raises(TransientError, match="Too many"):
        await echo(nodes, "e")
    with pytest.raises(TransientError):
        await first
    server.reads.set()
    server.speaks.set()
    assert await echo(nodes, "f") == [b"f"]


async def test_scripts_are_there_before_the_first_call_and_come_back_when_they_are_gone(
    nodes: RedisNodes, server: FakeRedis
) -> None:
    nodes.register(SCRIPT)
    loaded = False

    def load(command: list[bytes]) -> bytes:
        nonlocal loaded
        loaded = command == [b"SCRIPT", b"LOAD", SCRIPT.source.encode()]
        return bulk(SCRIPT.sha1.encode())

    def run(command: list[bytes]) -> bytes:
        return array(*map(bulk, command[1:])) if loaded else b"-NOSCRIPT No matching script.\r\n"

    server.handlers |= {b"SCRIPT": load, b"EVALSHA": run}
    call = (0, SCRIPT.call([b"key"], 7, "x"))
    expected = [[SCRIPT.sha1.encode(), b"1", b"key", b"7", b"x"]]
    assert await nodes.run([call]) == expected
    loaded = False
    with pytest.raises(TransientError, match="NOSCRIPT"):
        await nodes.run([call])
    assert await nodes.run([call]) == expected


async def test_a_node_that_does_not_take_the_scripts_is_not_used(
    nodes: RedisNodes, server: FakeRedis
) -> None:
    nodes.register(SCRIPT)
    server.handlers[b"SCRIPT"] = lambda _: b"-LOADING Redis is loading the dataset in memory\r\n"
    with pytest.raises(TransientError):
        await echo(nodes, "a")
    del server.handlers[b"SCRIPT"]
    assert await until_echoed(nodes, "a") == [b"a"]


async def test_a_ping_asks_every_node(server: FakeRedis, other: FakeRedis) -> None:
    server.slots = other.slots = [(0, 99, server), (100, 16_383, other)]
    nodes = RedisNodes([server.address], timeout_s=TIMEOUT_S)
    server.handlers[b"PING"] = other.handlers[b"PING"] = lambda _: b"+PONG\r\n"
    assert await nodes.ping() == 2
    other.speaks.clear()
    with pytest.raises(TransientError):
        await nodes.ping()
    await nodes.close()


async def test_everything_that_matches_is_unlinked_on_every_node(server: FakeRedis, other: FakeRedis) -> None:
    server.slots = [(0, 99, server), (100, 16_383, other)]
    pages = {b"0": (b"5", [b"a", b"b"]), b"5": (b"9", []), b"9": (b"0", [b"c"])}

    def scan(command: list[bytes]) -> bytes:
        assert command[2:4] == [b"MATCH", b"up:*"]
        cursor, names = pages[command[1]]
        return array(bulk(cursor), array(*map(bulk, names)))

    for node in (server, other):
        node.handlers |= {b"SCAN": scan, b"UNLINK": lambda _: b":1\r\n"}
    nodes = RedisNodes([server.address], timeout_s=TIMEOUT_S)
    await nodes.unlink_matching("up:*")
    for node in (server, other):
        assert [c for c in node.commands if c[0] == b"UNLINK"] == [[b"UNLINK", n] for n in (b"a", b"b", b"c")]
    await nodes.close()


async def test_closing_fails_what_waits(nodes: RedisNodes, server: FakeRedis) -> None:
    await echo(nodes, "warm")
    server.speaks.clear()
    waiting = await started(nodes, "a")
    await nodes.close()
    server.speaks.set()
    for call in (waiting, echo(nodes, "b")):
        with pytest.raises(TransientError):
            await call


@pytest.mark.parametrize(
    "scenario",
    [
        test_replies_of_any_shape,
        test_a_cancelled_caller_leaves_the_order_alone,
        test_a_hanging_node_fails_all_who_wait_and_is_asked_anew,
        test_a_busy_process_does_not_take_itself_for_a_hanging_node,
        test_a_process_whose_every_turn_is_late_goes_on_and_makes_new_connections,
        test_a_connection_lost_between_two_replies,
        test_with_no_node_there_every_call_fails_until_one_is,
        test_what_a_node_does_not_read_is_bounded,
        test_closing_fails_what_waits,
    ],
)
def test_the_event_loop_of_a_worker(scenario: Callable[[RedisNodes, FakeRedis], Awaitable[None]]) -> None:
    """Its transports, buffers and timers are its own."""

    async def main() -> None:
        async with fake_redis() as server:
            nodes = RedisNodes([server.address], timeout_s=TIMEOUT_S)
            await scenario(nodes, server)
            await nodes.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


async def test_a_node_that_hangs_does_not_hold_up_what_others_are_sent(
    server: FakeRedis, other: FakeRedis
) -> None:
    """Both have to be connected first."""
    server.slots = other.slots = [(0, 99, server), (100, 16_383, other)]
    nodes = RedisNodes([server.address, other.address], timeout_s=TIMEOUT_S)
    await nodes.ping()
    server.disconnect()
    other.disconnect()
    await asyncio.sleep(0.02)
    server.speaks.clear()
    scripts = nodes._scripts
    nodes.register(SCRIPT)  # so that to connect takes a reply
    assert scripts
    sent = asyncio.create_task(nodes.run_each([(0, ("ECHO", "a")), (100, ("ECHO", "b"))], is_urgent=True))
    async with asyncio.timeout(5):
        while not other.count(b"ECHO"):  # noqa: ASYNC110 - it is a server
            await asyncio.sleep(0.001)
    assert not sent.done(), "it still waits for the one that hangs"
    replies = await sent
    assert isinstance(replies[0], TransientError)
    assert replies[1] == b"b"
    server.speaks.set()
    await nodes.close()
