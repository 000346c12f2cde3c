"""A listener leaves a port that another one shares, and no client is refused or reset."""

import asyncio
import contextlib
import errno
import os
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from web.server import listener as listener_module
from web.server import shared_port
from web.server.listener import Listener

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the filter of a socket is Linux's")

CLIENTS = 24  # the kernel gives each to one of two listeners by a hash: all to the same one in 2 of 2^24 runs
HOSTS = pytest.mark.parametrize("host", ["127.0.0.1", "::1"])


class Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def the_kernel_hands_nothing_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As it is by default, whatever this machine is set to."""
    monkeypatch.setattr(shared_port, "_MIGRATES", tmp_path / "missing")


@asynccontextmanager
async def listening(host: str, port: int = 0) -> AsyncIterator[Listener]:
    listener = Listener(Echo, host, port, reuse_port=True)
    await listener.start()
    try:
        yield listener
    finally:
        await listener.stop()


def connecting(host: str, port: int) -> socket.socket:
    """A client that has sent its first packet, and waits for nothing."""
    client = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    client.setblocking(False)
    assert client.connect_ex((host, port)) in (0, errno.EINPROGRESS)
    return client


async def echo(client: socket.socket) -> bytes:
    """What the client is answered, or the error that it gets."""
    loop = asyncio.get_running_loop()
    with contextlib.closing(client):
        async with asyncio.timeout(20):
            while True:
                try:
                    await loop.sock_sendall(client, b"hello")
                    return await loop.sock_recv(client, 100)
                except BlockingIOError:  # it is still connecting
                    await asyncio.sleep(0.01)
                except OSError as error:
                    if error.errno not in (errno.EAGAIN, errno.ENOTCONN, errno.EPIPE):
                        return os.strerror(error.errno or 0).encode()
                    await asyncio.sleep(0.01)


@pytest.fixture
def come_late(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[socket.socket]]:
    """Clients who connect between the last accept of a listener that leaves, and its close."""
    clients: list[socket.socket] = []
    close = Listener._close

    def late(self: Listener) -> None:
        if not clients:
            host, port = self._sockets[0].getsockname()[:2]
            clients.extend(connecting(host, port) for _ in range(CLIENTS))
        close(self)

    monkeypatch.setattr(Listener, "_close", late)
    yield clients
    for client in clients:
        client.close()


@HOSTS
async def test_clients_that_connect_while_one_closes_are_served_by_the_other(
    come_late: list[socket.socket], host: str
) -> None:
    async with listening(host) as one, listening(host, one.port) as other:
        await other.stop()
        assert len(come_late) == CLIENTS
        answers = await asyncio.gather(*(echo(client) for client in come_late))
        assert answers == [b"hello"] * CLIENTS


@HOSTS
async def test_a_handshake_that_is_half_done_at_the_stop_ends_with_a_connection(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setattr(listener_module, "_SETTLE_S", 1.0)  # a busy machine is no reason to fail
    async with listening(host) as listener:
        # The kernel holds the handshake open until the client's first data.
        listener._sockets[0].setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 10)
        clients = [connecting(host, listener.port) for _ in range(CLIENTS)]
        stopping = asyncio.create_task(listener.stop())
        await asyncio.sleep(0.1)
        answers = await asyncio.gather(*(echo(client) for client in clients))
        assert answers == [b"hello"] * CLIENTS
        await stopping


async def test_a_connection_that_was_aborted_in_the_queue_does_not_hide_those_behind_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    aborted, accept = [True], socket.socket.accept

    def one_aborted(self: socket.socket) -> tuple[socket.socket, object]:
        if aborted:
            aborted.clear()
            raise ConnectionAbortedError
        return accept(self)

    async with listening("127.0.0.1") as listener:
        clients = [connecting("127.0.0.1", listener.port) for _ in range(CLIENTS)]
        monkeypatch.setattr(socket.socket, "accept", one_aborted)
        monkeypatch.setattr(shared_port, "_SO_ATTACH_FILTER", -1)  # none, so that the stop waits for nothing
        await listener.stop()
        assert await asyncio.gather(*(echo(client) for client in clients)) == [b"hello"] * CLIENTS


async def test_a_start_that_fails_on_one_address_never_listened_on_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of two addresses the second is taken: the first has not listened, so no client of the port was its own."""
    listened = []
    listen = socket.socket.listen
    monkeypatch.setattr(socket.socket, "listen", lambda self, n: (listened.append(self), listen(self, n)))
    with socket.socket() as taken:
        taken.bind(("127.0.0.2", 0))
        listen(taken, 1)
        port = taken.getsockname()[1]

        async def addresses(*_: object, **__: object) -> list[object]:
            kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
            return [(*kind, ("127.0.0.1", port)), (*kind, ("127.0.0.2", port))]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", addresses)
        listener = Listener(Echo, "localhost", port, reuse_port=True)
        with pytest.raises(OSError, match="in use"):
            await listener.start()
    assert listened == []


async def test_where_the_kernel_hands_over_no_client_waits(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    filtered = []
    monkeypatch.setattr(listener_module, "drop_new_handshakes", filtered.append)
    monkeypatch.setattr(shared_port, "_MIGRATES", tmp_path / "tcp_migrate_req")
    for content, filters in (("1\n", 0), ("0\n", 1), (None, 2)):
        (tmp_path / "tcp_migrate_req").unlink(missing_ok=True)
        if content:
            (tmp_path / "tcp_migrate_req").write_text(content)
        async with listening("127.0.0.1"):
            pass
        assert len(filtered) == filters


async def test_without_filters_it_says_what_to_set(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(shared_port, "_SO_ATTACH_FILTER", -1)
    async with listening("127.0.0.1"):
        pass
    assert "tcp_migrate_req=1" in caplog.text
