"""Large answers are written in pieces; what nobody takes is bounded in total, and so are connections."""

import asyncio
from typing import Final

import pytest

from app.config.settings import Settings
from app.core.api_keys import Rate
from app.core.errors import BusyError
from tests.unit.web.fakes import World
from tests.unit.web.server.test_slow_clients import ASKED, LAST, connected, read_all, transports, until
from web.application import build
from web.auth.token_bucket import TokenBucket
from web.held_answers import PIECE_BYTES, HeldAnswers
from web.server.server import WebServer
from web.services import HELD

LARGE: Final = b'"%b"' % (b"x" * 3_000_000)


async def serve(world: World, **settings: int) -> WebServer:
    told = Settings(_env_file=None, web_port=0, **settings)  # type: ignore[arg-type]
    server = WebServer.from_settings(build(world.services(), told), told)
    await server.start()
    return server


@pytest.mark.parametrize("in_memory", [True, False])
async def test_pieces(in_memory: bool) -> None:
    world = World()
    world.reader.body, world.reader.in_memory = LARGE, in_memory
    server = await serve(world)
    held = server._application[HELD]
    client = await connected(server.port)
    await asyncio.get_running_loop().sock_sendall(client, ASKED + LAST)
    await until(lambda: bool(transports(server)))
    (transport,) = transports(server)
    for _ in range(50):
        await asyncio.sleep(0.002)
        # Of the answer no more than a piece beyond the high-water mark is copied.
        assert transport.get_write_buffer_size() <= 64 * 1024 + PIECE_BYTES + 1_000
    assert held.size_bytes >= len(LARGE)
    found = await read_all(client)
    assert found.count(LARGE) == 2
    await until(lambda: held.size_bytes == 0)
    client.close()
    await server.stop()


async def test_all_of_them_together_have_a_bound() -> None:
    world = World()
    body = world.reader.body = LARGE * 8  # more than the kernel's buffers of a connection take
    server = await serve(world, web_held_mb=30)
    loop = asyncio.get_running_loop()
    clients = [await connected(server.port) for _ in range(2)]
    held = server._application[HELD]
    await loop.sock_sendall(clients[0], LAST)
    await until(lambda: held.size_bytes >= len(body))
    await loop.sock_sendall(clients[1], LAST)
    refused = await read_all(clients[1])
    assert refused.startswith(b"HTTP/1.1 503")
    assert b"PROFILE_WEB_HELD_MB" in refused
    assert (await read_all(clients[0])).endswith(body)
    for client in clients:
        client.close()
    await until(lambda: held.size_bytes == 0)
    await server.stop()


async def test_who_takes_nothing_goes_when_it_is_too_much() -> None:
    world = World()
    world.reader.body, world.reader.in_memory = b'"%b"' % (b"x" * 100_000), True
    server = await serve(world, web_held_mb=1)
    loop = asyncio.get_running_loop()
    held = server._application[HELD]
    clients = [await connected(server.port) for _ in range(30)]
    for client in clients:
        await loop.sock_sendall(client, ASKED * 60)
    await until(lambda: len(transports(server)) < len(clients))
    assert held.size_bytes <= 2 * 1024 * 1024
    for client in clients:
        client.close()
    await until(lambda: held.size_bytes == 0)
    await server.stop()


async def test_one_connection_more_than_there_may_be_is_told_so() -> None:
    server = await serve(World(), web_max_connections=2)
    first = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(2)]
    for reader, writer in first:
        writer.write(ASKED)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    assert (await reader.read()).startswith(b"HTTP/1.1 503")
    writer.close()
    first[0][1].close()
    await until(lambda: len(transports(server)) < 2)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(LAST)
    assert (await reader.read()).startswith(b"HTTP/1.1 200")
    writer.close()
    first[1][1].close()
    await server.stop()


def test_the_first_large_answer_always_has_room() -> None:
    held = HeldAnswers(10)
    held.require_room(100)
    with held.one(100), pytest.raises(BusyError):
        held.require_room(1)
    held.require_room(100)


def test_what_was_dear_is_owed() -> None:
    bucket = TokenBucket(Rate(per_s=10, burst=20), 0.0)
    assert bucket.take(0.0) == 0.0
    bucket.charge(24, 0.0)
    assert bucket.take(0.0) == pytest.approx(0.6)
    assert bucket.take(0.6) == 0.0
    bucket.charge(10_000, 0.6)
    assert bucket.take(0.6) == pytest.approx(2.1)  # a full bucket is owed, and no more
