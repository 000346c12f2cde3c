"""What is written on the wire, through the server that the worker uses."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from app.config.settings import Settings
from tests.unit.web.fakes import TOKENS, TREE, World
from web.application import build
from web.http import security_headers
from web.server.server import WebServer


@pytest.fixture
async def port(world: World, web_settings: Settings) -> AsyncIterator[int]:
    server = WebServer(build(world.services(), web_settings), port=0)
    await server.start()
    yield server.port
    await server.stop()


async def exchange(port: int, *requests: str) -> bytes:
    """Send these on one connection and read until the server closes it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write("".join(requests).encode())
    async with asyncio.timeout(5):
        data = await reader.read()
    writer.close()
    return data


def parts(answer: bytes) -> tuple[str, dict[str, str], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    return status, dict(line.split(": ", 1) for line in lines), body


PATH = "/v1/graph/7?depth=2"
HOST = "Host: localhost\r\n"


async def test_one_answer(port: int, world: World) -> None:
    world.reader.upper = 255
    status, headers, body = parts(
        await exchange(port, f"GET {PATH} HTTP/1.1\r\n{HOST}X-Request-Id: abc\r\nConnection: close\r\n\r\n")
    )
    assert (status, body) == ("HTTP/1.1 200 OK", TREE)
    assert headers.pop("ETag").startswith('W/"')
    assert headers.pop("Date").endswith(" GMT")
    assert headers == {
        "Server": "user-profile",
        "Cache-Control": "no-cache",
        "Vary": "Accept-Encoding",
        **security_headers.HEADERS,
        "Cache-Status": "user-profile; hit",
        "Consistency-Token": TOKENS.spell(255),
        "Content-Type": "application/json",
        "X-Request-Id": "abc",
        "Content-Length": str(len(TREE)),
        "Connection": "close",
    }
    assert world.reader.calls == [("graph", 7, 2, None)]
    assert [route for route, *_ in world.observed] == ["/v1/graph/{id}"]


async def test_a_connection_is_kept(port: int) -> None:
    asked = f"GET {PATH} HTTP/1.1\r\n{HOST}\r\n"
    last = f"GET {PATH} HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n"
    answers = await exchange(port, asked, asked, last)
    assert answers.count(b"HTTP/1.1 200 OK") == answers.count(TREE) == 3
    assert answers.count(b"Connection:") == 1


async def test_http_1_0(port: int) -> None:
    status, headers, body = parts(await exchange(port, f"GET {PATH} HTTP/1.0\r\n\r\n"))
    assert (status, body, headers.get("Connection")) == ("HTTP/1.1 200 OK", TREE, None)
    both = await exchange(
        port,
        f"GET {PATH} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        f"GET {PATH} HTTP/1.0\r\n\r\n",
    )
    assert both.count(TREE) == 2
    assert both.count(b"Connection: keep-alive\r\n") == 1


async def test_head_has_the_headers_alone(port: int) -> None:
    status, headers, body = parts(
        await exchange(port, f"HEAD {PATH} HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n")
    )
    assert (status, headers["Content-Length"], body) == ("HTTP/1.1 200 OK", str(len(TREE)), b"")


async def test_not_modified_has_neither_body_nor_length(port: int) -> None:
    closing = f"{HOST}Connection: close\r\n"
    _, headers, _ = parts(await exchange(port, f"GET {PATH} HTTP/1.1\r\n{closing}\r\n"))
    status, again, body = parts(
        await exchange(port, f"GET {PATH} HTTP/1.1\r\n{closing}If-None-Match: {headers['ETag']}\r\n\r\n")
    )
    assert (status, body, again["ETag"]) == ("HTTP/1.1 304 Not Modified", b"", headers["ETag"])
    assert not {"Content-Length", "Content-Type"} & again.keys()


async def test_request_ids_are_unique(port: int) -> None:
    asked = f"GET {PATH} HTTP/1.1\r\n{HOST}"
    answers = await exchange(port, f"{asked}\r\n", f"{asked}Connection: close\r\n\r\n")
    ids = [line for line in answers.split(b"\r\n") if line.startswith(b"X-Request-Id: ")]
    assert len(set(ids)) == len(ids) == 2
    assert all(len(line) == len(b"X-Request-Id: ") + 32 for line in ids)


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        ("GET /v1/graph/8", 404),
        ("GET /v1/graph/0", 400),
        ("GET /v1/graph/99999999999999999999", 400),
        ("GET /v1/graph/7?depth=0", 400),
        ("GET /v1/graph/7%2F", 400),
        ("GET /v1/graph/7/", 404),
        ("POST /v1/graph/7", 405),
        ("GET /v1/graph/sync", 405),
    ],
)
async def test_errors_are_the_same_as_by_the_router(port: int, request_line: str, status: int) -> None:
    line, headers, body = parts(
        await exchange(port, f"{request_line} HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n")
    )
    assert line.split()[1] == str(status)
    assert headers["Content-Type"] == "application/problem+json"
    assert b'"request_id"' in body
