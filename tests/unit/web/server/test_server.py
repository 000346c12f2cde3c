"""The socket: where it listens, and what it does with broken requests."""

import asyncio
import contextlib
import gzip
import json
import zlib

import aiohttp
import pytest

from app.config.settings import Settings
from app.core.errors import FatalError
from tests.unit.web.fakes import TREE, World
from web.application import build
from web.server.server import WebServer


async def raw_exchange(port: int, sent: bytes) -> tuple[bytes, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    await writer.drain()
    async with asyncio.timeout(5):
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        body = await reader.readexactly(length)
    writer.close()
    await writer.wait_closed()
    return head, body


async def test_serves(server: WebServer) -> None:
    assert server.port > 0
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{server.port}/v1/graph/7") as response,
    ):
        assert (response.status, await response.read()) == (200, TREE)
        assert response.headers["Server"] == "user-profile"


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    ],
)
async def test_a_broken_request_is_a_problem(
    server: WebServer, caplog: pytest.LogCaptureFixture, sent: bytes
) -> None:
    head, body = await raw_exchange(server.port, sent)
    assert head.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
    assert b"application/problem+json" in head
    assert json.loads(body)["type"] == "/problems/malformed-request"
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize(
    ("sent", "status", "name"),
    [
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414, "uri-too-long"),
        (
            b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"x" * 9000 + b"\r\n\r\n",
            431,
            "headers-too-large",
        ),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"x" * 9000 + b": y\r\n\r\n", 431, "headers-too-large"),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 129 + b"\r\n", 431, "headers-too-large"),
    ],
)
async def test_what_is_too_long_is_told(server: WebServer, sent: bytes, status: int, name: str) -> None:
    head, body = await raw_exchange(server.port, sent)
    assert int(head.split(b" ")[1]) == status == json.loads(body)["status"]
    assert b"application/problem+json" in head
    assert json.loads(body)["type"] == f"/problems/{name}"
    assert json.loads(body)["request_id"].encode() in head


@pytest.mark.parametrize(
    "target", [b"/v1/graph/\xff", b"/v1/graph/%ff?depth=%ff", b"/\xc3\xa9<>\"'", b"//x//"]
)
async def test_strange_bytes_in_the_path_are_no_500(server: WebServer, target: bytes) -> None:
    head, body = await raw_exchange(server.port, b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert head.split(b" ")[1] in (b"400", b"404")
    assert json.loads(body)["status"] in (400, 404)


@pytest.mark.parametrize("host", ["0.0.0.0", "", "::", "example.org", "10.0.0.1"])
async def test_refuses_to_listen_beyond_this_machine(world: World, web_settings: Settings, host: str) -> None:
    server = WebServer(build(world.services(), web_settings), host=host, port=0)
    with pytest.raises(FatalError, match="PROFILE_WEB_ALLOW_NON_LOOPBACK"):
        await server.start()


async def test_listens_beyond_when_told_so(world: World, web_settings: Settings) -> None:
    server = WebServer(build(world.services(), web_settings), host="0.0.0.0", port=0, allow_non_loopback=True)
    await server.start()
    head, _ = await raw_exchange(server.port, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert head.split(b" ")[1] == b"200"
    await server.stop()
    await server.stop()


async def test_beyond_this_machine_erasures_need_a_key_of_their_own(world: World) -> None:
    settings = Settings(_env_file=None, web_port=0, web_host="0.0.0.0", web_allow_non_loopback=True)
    with pytest.raises(FatalError, match="PROFILE_ERASURE_KEY is the default"):
        await WebServer.from_settings(build(world.services(), settings), settings).start()


async def test_a_taken_port_is_told(server: WebServer, world: World, web_settings: Settings) -> None:
    other = WebServer(build(world.services(), web_settings), port=server.port)
    with pytest.raises(FatalError, match="PROFILE_WEB_PORT"):
        await other.start()


async def test_several_servers_can_share_a_port(world: World, web_settings: Settings) -> None:
    first = WebServer(build(world.services(), web_settings), port=0, reuse_port=True)
    await first.start()
    second = WebServer(build(world.services(), web_settings), port=first.port, reuse_port=True)
    await second.start()
    assert second.port == first.port
    await first.stop()
    head, _ = await raw_exchange(second.port, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert head.split(b" ")[1] == b"200"
    await second.stop()


async def test_a_client_that_hangs_up_does_not_stop_a_write(server: WebServer, world: World) -> None:
    world.writer.delay_s = 0.3
    body = b'{"entities":[{"reference":"u","type":"user"}]}'
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(
        b"POST /v1/graph/sync HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    await writer.drain()
    await asyncio.sleep(0.1)
    writer.close()
    await writer.wait_closed()
    await asyncio.sleep(0.4)
    assert len(world.writer.batches) == 1


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: localhost\r\n"])
async def test_a_first_request_that_does_not_come_ends_the_connection(
    server: WebServer, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr("web.server.connection.FIRST_REQUEST_S", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(sent)
    async with asyncio.timeout(10):
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
    writer.close()


async def test_a_first_request_in_time_keeps_the_connection(
    server: WebServer, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.server.connection.FIRST_REQUEST_S", 0.1)
    world.reader.delay_s = 0.15
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    for _ in range(3):
        writer.write(b"GET /v1/graph/7 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        async with asyncio.timeout(10):
            assert (await reader.readuntil(TREE)).startswith(b"HTTP/1.1 200 ")
    writer.close()


@pytest.mark.parametrize("opening", [b"[", b'{"entities":', b'{"entities":[{"properties":{"a":'])
async def test_json_that_is_nested_too_deeply_is_refused(server: WebServer, opening: bytes) -> None:
    body = opening * (4_000 // len(opening))
    head, answer = await raw_exchange(
        server.port,
        b"POST /v1/graph/sync HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(body), body),
    )
    assert head.split(b" ")[1] in (b"400", b"422")
    assert json.loads(answer)["type"].startswith("/problems/")


@pytest.mark.parametrize(
    ("line", "headers", "status", "name", "route"),
    [
        (b"GET /v1/graph/7", b"Expect: <b>\r\n", 417, "expectation-failed", "/v1/graph/{id}"),
        (b"POST /v1/graph/sync", b"Expect: <b>\r\n", 417, "expectation-failed", "/v1/graph/sync"),
        (b"GET /nowhere", b"Expect: <b>\r\n", 417, "expectation-failed", "/{unrouted}"),
        (b"OPTIONS *", b"", 404, "not-found", "-"),
        (b"CONNECT x:80", b"", 404, "not-found", "-"),
    ],
)
async def test_what_no_handler_sees_is_a_problem_too(
    server: WebServer,
    world: World,
    caplog: pytest.LogCaptureFixture,
    *,
    line: bytes,
    headers: bytes,
    status: int,
    name: str,
    route: str,
) -> None:
    caplog.set_level("INFO", "web.access")
    head, body = await raw_exchange(
        server.port,
        b"%b HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: r-9\r\nConnection: close\r\n%b\r\n"
        % (line, headers),
    )
    problem = json.loads(body)
    assert (problem["status"], problem["type"]) == (status, f"/problems/{name}")
    assert problem["request_id"] == "r-9"
    assert b"<b>" not in head + body
    for header in (
        f"HTTP/1.1 {status} ",
        "\r\nContent-Type: application/problem+json\r\n",
        "\r\nServer: user-profile\r\n",
        "\r\nX-Request-Id: r-9\r\n",
        "\r\nX-Content-Type-Options: nosniff\r\n",
    ):
        assert header.encode() in head
    assert b"Python" not in head
    assert [seen[:2] for seen in world.observed] == [(route, status)]
    assert [record.__dict__["request_id"] for record in caplog.records if record.name == "web.access"] == [
        "r-9"
    ]


async def test_a_client_may_wait_for_100(server: WebServer, world: World) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    body = b'{"entities":[{"reference":"u","type":"user"}]}'
    writer.write(
        b"POST /v1/graph/sync HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Expect: 100-Continue\r\nContent-Length: %d\r\n\r\n" % len(body)
    )
    async with asyncio.timeout(10):
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 202 ")
    writer.close()
    assert len(world.writer.batches) == 1


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        (b"gzip", b"{}"),  # not what it says
        (b"gzip", gzip.compress(b'{"entities":[{"reference":"u","type":"user"}]}')),
        (b"gzip", gzip.compress(b" " * 4_000_000)),
        (b"deflate", zlib.compress(b"{}")),
        (b"br", b"{}"),
        (b"GZIP, identity", b"{}"),
    ],
)
async def test_compressed_bodies_are_refused(
    server: WebServer, world: World, caplog: pytest.LogCaptureFixture, encoding: bytes, body: bytes
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    async with asyncio.timeout(10):
        for _ in range(2):  # on one connection: the body is read all the same
            writer.write(
                b"POST /v1/graph/sync HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b"Content-Encoding: %b\r\nContent-Length: %d\r\n\r\n%b" % (encoding, len(body), body)
            )
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 415 ")
            assert b"\r\nAccept-Encoding: identity\r\n" in head
            assert b"/problems/unsupported-media-type" in await reader.readuntil(b"}")
    writer.close()
    assert world.writer.batches == []
    assert not [record for record in caplog.records if record.levelname not in ("DEBUG", "INFO")]


async def test_identity_is_no_encoding(server: WebServer, world: World) -> None:
    body = b'{"entities":[{"reference":"u","type":"user"}]}'
    head, _ = await raw_exchange(
        server.port,
        b"POST /v1/graph/sync HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Encoding: identity\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body),
    )
    assert head.startswith(b"HTTP/1.1 202 ")
    assert len(world.writer.batches) == 1


async def test_a_body_that_breaks_leaves_no_trace(
    server: WebServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Its handler has answered without reading it when its chunks turn out to be none."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(
        b"POST /v1/nothing HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n"
    )
    async with asyncio.timeout(10):
        assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 404 ")
        writer.write(b"<secret>\r\n")
        with contextlib.suppress(ConnectionResetError):
            await reader.read()
    writer.close()
    assert "Traceback" not in caplog.text
    assert "secret" not in caplog.text
