"""Who asks and does not read keeps little, and not for long."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import uvloop

from app.config.settings import Settings
from tests.unit.web.fakes import World
from web.application import build
from web.server.server import WebServer

BODY = b'{"id":7,"text":"%b"}' % (b"x" * 60_000)
HIGH_WATER = 64 * 1024
ASKED = b"GET /v1/graph/7 HTTP/1.1\r\nHost: localhost\r\n\r\n"
LAST = b"GET /v1/graph/7 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
REQUESTS = 400


@asynccontextmanager
async def serving(
    world: World, *, patience_s: float = 30.0, longest_s: float = 300.0
) -> AsyncIterator[WebServer]:
    settings = Settings(
        _env_file=None, web_port=0, web_request_timeout_s=patience_s, web_export_timeout_s=longest_s
    )
    server = WebServer.from_settings(build(world.services(), settings), settings)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def connected(port: int) -> socket.socket:
    """A client that takes little unasked."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    made.setblocking(False)
    await asyncio.get_running_loop().sock_connect(made, ("127.0.0.1", port))
    return made


def transports(server: WebServer) -> list[asyncio.Transport]:
    assert server._runner is not None
    assert server._runner.server is not None
    return [each.transport for each in server._runner.server.connections if each.transport is not None]


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def read_all(client: socket.socket, *, pause_s: float = 0, at_a_time: int = 1 << 20) -> bytes:
    """What comes until the server ends the connection."""
    found = bytearray()
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(30):
        while data := await loop.sock_recv(client, at_a_time):
            found += data
            await asyncio.sleep(pause_s)
    return bytes(found)


@pytest.mark.parametrize("loop_factory", [uvloop.new_event_loop, asyncio.new_event_loop])
@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("at_once", [True, False])
def test_answers_wait_for_their_reader(
    loop_factory: Callable[[], asyncio.AbstractEventLoop], *, in_memory: bool, at_once: bool
) -> None:
    async def main() -> None:
        world = World()
        world.reader.body, world.reader.in_memory = BODY, in_memory
        async with serving(world) as server:
            client = await connected(server.port)
            loop = asyncio.get_running_loop()
            asked = [ASKED * REQUESTS] if at_once else [ASKED] * REQUESTS
            for part in asked:
                await loop.sock_sendall(client, part)
                await asyncio.sleep(0)
            (transport,) = transports(server)
            most = HIGH_WATER + len(BODY) + 1000
            await until(lambda: transport.get_write_buffer_size() > HIGH_WATER)
            for _ in range(20):
                await asyncio.sleep(0.01)
                assert transport.get_write_buffer_size() <= most
            assert len(world.reader.calls) < REQUESTS
            await loop.sock_sendall(client, LAST)
            found = await read_all(client)
            whole = found.count(b"HTTP/1.1 200 OK\r\n"), found.count(BODY)
            assert whole == (REQUESTS + 1, REQUESTS + 1)
            client.close()

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(main())


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("path", ["/v1/graph/7", "/openapi.json"])
async def test_who_never_reads_is_cut_off(path: str, *, in_memory: bool) -> None:
    world = World()
    world.reader.body, world.reader.in_memory = b'"%b"' % (b"x" * 8_000_000), in_memory
    async with serving(world, patience_s=0.2) as server:
        client = await connected(server.port)
        loop = asyncio.get_running_loop()
        # The kernel takes some megabytes of them.
        await loop.sock_sendall(client, ASKED.replace(b"/v1/graph/7", path.encode()) * 100)
        await until(lambda: bool(transports(server)))
        (transport,) = transports(server)
        await until(lambda: not transports(server))
        await until(lambda: transport.get_write_buffer_size() == 0)
        with pytest.raises(ConnectionResetError):
            await read_all(client)
        client.close()


@pytest.mark.parametrize("asked", [ASKED, LAST])
async def test_a_little_that_is_left_does_not_keep_a_connection(
    monkeypatch: pytest.MonkeyPatch, asked: bytes
) -> None:
    """The transport is closed and not empty; nothing paused it."""
    monkeypatch.setattr("web.server.server.KEEPALIVE_S", 0.2)
    world = World()
    world.reader.body = b'"%b"' % (b"x" * 8_000_000)
    async with serving(world, patience_s=0.2) as server:
        client = await connected(server.port)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(client, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await until(lambda: bool(transports(server)))
        (transport,) = transports(server)
        transport.set_write_buffer_limits(high=1 << 30)
        await loop.sock_sendall(client, asked)
        await until(lambda: transport.get_write_buffer_size() > 0)
        await until(lambda: not transports(server))
        await until(lambda: transport.get_write_buffer_size() == 0 and transport.is_closing())
        client.close()


async def test_who_reads_slowly_gets_all() -> None:
    world = World()
    world.reader.body = b'"%b"' % (b"x" * 8_000_000)
    async with serving(world, patience_s=0.4) as server:
        client = await connected(server.port)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(client, LAST)
        found = 0
        async with asyncio.timeout(60):
            for _ in range(20):
                found += len(await loop.sock_recv(client, 60_000))
                await asyncio.sleep(0.05)
        found += len(await read_all(client))
        assert found > 8_000_000
        client.close()


async def test_who_reads_too_slowly_is_cut_off_in_the_end() -> None:
    world = World()
    world.reader.body = b'"%b"' % (b"x" * 30_000_000)
    async with serving(world, patience_s=0.4, longest_s=0.8) as server:
        client = await connected(server.port)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(client, LAST)
        reading = asyncio.create_task(read_all(client, pause_s=0.02, at_a_time=10_000))
        with pytest.raises(ConnectionResetError):
            await reading
        client.close()
