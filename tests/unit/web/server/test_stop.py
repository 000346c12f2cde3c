"""A stop serves who is there, answers what was asked, and tells each client that its connection ends."""

import asyncio
import socket
import threading
import time

import aiohttp
import pytest
import uvloop

from app.config.settings import Settings
from tests.unit.web.fakes import TREE, World
from web.application import build
from web.server import server as web_server
from web.server.server import WebServer


@pytest.mark.parametrize("loop_kind", ["asyncio", "uvloop"])
def test_who_is_in_the_queue_when_it_stops_is_served(loop_kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_server, "_LAST_REQUEST_S", 20.0)  # a busy machine is no reason to fail

    async def main() -> None:
        world = World()
        settings = Settings(_env_file=None, web_port=0, web_shutdown_timeout_s=2)
        server = WebServer.from_settings(build(world.services(), settings), settings)
        await server.start()
        port = server.port
        # The event loop does not turn between these and the stop, so it has accepted none of them.
        clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
        request = b"GET /v1/graph/7 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        for client in clients[:10]:
            client.sendall(request)

        def late() -> None:
            time.sleep(0.2)
            for client in clients[10:]:
                client.sendall(request)

        await asyncio.gather(server.stop(), asyncio.to_thread(late))
        for client in clients:
            client.settimeout(5)
            assert client.recv(100).startswith(b"HTTP/1.1 200 ")
            client.close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))

    factory = uvloop.new_event_loop if loop_kind == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())


class Asking(threading.Thread):
    """A client that asks again as soon as it is answered, on one connection, until it is told that it ends."""

    def __init__(self, port: int, request: bytes) -> None:
        super().__init__()
        self._client = socket.create_connection(("127.0.0.1", port))
        self._request = request
        self.answered = 0
        self.lost = False

    def run(self) -> None:
        with self._client:
            self._asks()

    def _asks(self) -> None:
        self._client.settimeout(20)
        while True:
            self._client.sendall(self._request)
            answer = b""
            while TREE not in answer:
                received = self._client.recv(65_536)
                if not received:
                    self.lost = True
                    return
                answer += received
            self.answered += 1
            if b"Connection: close" in answer:
                return


_BATCH = b'{"entity_ids":[7]}'


@pytest.mark.parametrize("in_memory", [False, True])
@pytest.mark.parametrize(
    "sent",
    [
        b"GET /v1/graph/7 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /v1/graph/batch HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(_BATCH), _BATCH),
    ],
    ids=["get", "post"],
)
async def test_a_stop_answers_whoever_keeps_asking(
    server: WebServer, world: World, monkeypatch: pytest.MonkeyPatch, sent: bytes, *, in_memory: bool
) -> None:
    """Each learns from its last answer that its connection ends, and not from what it asked in vain."""
    monkeypatch.setattr(web_server, "_LAST_REQUEST_S", 20.0)  # a busy machine is no reason to fail
    world.reader.in_memory = in_memory
    clients = [Asking(server.port, sent) for _ in range(8)]
    for each in clients:
        each.start()
    async with asyncio.timeout(20):
        while not all(each.answered > 2 for each in clients):  # noqa: ASYNC110 - they are threads
            await asyncio.sleep(0.01)
    await server.stop()
    for each in clients:
        await asyncio.to_thread(each.join, 20)
        assert not each.is_alive()
    assert not any(each.lost for each in clients)


async def test_who_says_nothing_does_not_hold_the_stop_up(world: World) -> None:
    settings = Settings(_env_file=None, web_port=0, web_shutdown_timeout_s=2)
    server = WebServer.from_settings(build(world.services(), settings), settings)
    await server.start()
    client = socket.create_connection(("127.0.0.1", server.port))
    async with asyncio.timeout(4):
        await server.stop()
    client.settimeout(5)
    assert client.recv(100) == b""
    client.close()


async def test_a_stop_lets_requests_finish(server: WebServer, world: World) -> None:
    world.reader.delay_s = 0.3
    async with aiohttp.ClientSession() as session:
        asked = asyncio.create_task(session.get(f"http://127.0.0.1:{server.port}/v1/graph/7"))
        await asyncio.sleep(0.1)
        await server.stop()
        response = await asked
        assert (response.status, await response.read()) == (200, TREE)
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.get(f"http://127.0.0.1:{server.port}/")
