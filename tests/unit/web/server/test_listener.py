"""Who comes at once is let in at once, and who was in the queue at the end is heard."""

import asyncio
import errno
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import uvloop

from web.server.listener import Listener

CLIENTS = 120
Loops = Callable[[], asyncio.AbstractEventLoop]
both_loops = pytest.mark.parametrize("loop_factory", [uvloop.new_event_loop, asyncio.new_event_loop])


class Echo(asyncio.Protocol):
    """`turn` is the event loop's when a connection was made."""

    made: list[int]
    turn = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        Echo.made.append(Echo.turn)

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)  # type: ignore[attr-defined]


def run(main: Callable[[], object], loop_factory: Loops) -> None:
    Echo.made = []
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(main())  # type: ignore[arg-type]


async def count_turns() -> None:
    while True:
        Echo.turn += 1
        await asyncio.sleep(0)


@asynccontextmanager
async def listening(
    host: str = "127.0.0.1", port: int = 0, *, reuse_port: bool = False
) -> AsyncIterator[Listener]:
    listener = Listener(Echo, host, port, reuse_port=reuse_port)
    await listener.start()
    try:
        yield listener
    finally:  # uvloop never closes while somebody reads
        await listener.stop()


def connected(port: int, host: str = "127.0.0.1") -> socket.socket:
    """A client; the kernel lets it in before anybody accepts it."""
    client = socket.create_connection((host, port), timeout=10)
    client.sendall(b"hello")
    return client


async def echoes(client: socket.socket) -> bytes:
    return await asyncio.to_thread(client.recv, 100)


@both_loops
def test_all_who_wait_are_let_in_within_a_few_turns(loop_factory: Loops) -> None:
    async def main() -> None:
        async with listening() as listener:
            clients = [connected(listener.port) for _ in range(CLIENTS)]
            Echo.turn = 0
            turns = asyncio.create_task(count_turns())
            assert [await echoes(client) for client in clients] == [b"hello"] * CLIENTS
            turns.cancel()
            for client in clients:
                client.close()
            assert len(Echo.made) == CLIENTS
            # One in each turn, as uvloop's server has it, would be CLIENTS.
            assert max(Echo.made) - min(Echo.made) < CLIENTS / 10

    run(main, loop_factory)


@both_loops
def test_who_is_in_the_queue_when_it_stops_is_served(loop_factory: Loops) -> None:
    async def main() -> None:
        async with listening() as listener:
            port = listener.port
            clients = [connected(port) for _ in range(CLIENTS)]  # and the loop had no turn to accept them
        assert len(Echo.made) == CLIENTS
        assert [await echoes(client) for client in clients] == [b"hello"] * CLIENTS
        with pytest.raises(OSError, match="refused"):
            connected(port)
        for client in clients:
            client.close()

    run(main, loop_factory)


async def test_it_listens_on_all_addresses_of_a_host() -> None:
    Echo.made = []
    async with (
        listening("", reuse_port=True) as listener,
        listening("127.0.0.1", listener.port, reuse_port=True) as other,
    ):
        assert other.port == listener.port
        client = connected(listener.port)
        assert await echoes(client) == b"hello"
        client.close()


async def test_a_port_that_is_taken_leaves_nothing_open() -> None:
    async with listening() as first:
        second = Listener(Echo, "127.0.0.1", first.port, reuse_port=False)
        with pytest.raises(OSError, match="in use"):
            await second.start()
        await second.stop()


async def test_without_open_files_to_spare_it_waits_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    Echo.made = []
    monkeypatch.setattr("web.server.listener._PAUSE_S", 0.05)
    full, accept = True, socket.socket.accept

    def refuse(self: socket.socket) -> tuple[socket.socket, object]:
        if full:
            raise OSError(errno.EMFILE, "Too many open files")
        return accept(self)

    monkeypatch.setattr(socket.socket, "accept", refuse)
    async with listening() as listener:
        client = connected(listener.port)
        await asyncio.sleep(0.2)
        assert Echo.made == []
        told = [
            record for record in caplog.records if getattr(record, "event", "") == "http.connections_refused"
        ]
        assert 1 <= len(told) <= 5, "it pauses between attempts"
        full = False
        assert await echoes(client) == b"hello"
        client.close()
