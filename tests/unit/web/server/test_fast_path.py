"""Reads that are answered from memory are answered as the usual way answers them, byte for byte."""

import asyncio
import gzip
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from app.config.settings import Settings
from app.core.api_keys import Rate, Scope
from app.core.selection import Fields, Selection
from tests.unit.app.key_fakes import FakeKeys, StillClock, ring_of
from tests.unit.web.fakes import TREE, World
from tests.unit.web.http.test_raw_response import exchange, parts
from web.application import build
from web.http import parameters, tree_query
from web.http.tree_query import recognised
from web.problems import ProblemError
from web.server.server import WebServer

BY_ID = "/v1/graph/7?depth=2&period=2025-01-15T10:30:00Z"
BY_PROPERTY = "/v1/graph/by-property/email.address/value/a%40example.com?depth=2"
END = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
HOUR = timedelta(hours=1)
BY_REFERENCE = "/v1/graph/by-reference/user/u-7"
RECALLS = ("recall", "recall_by_reference", "recall_by_property")
SEEN = ("recall", 7, 2, datetime(2025, 1, 15, 10, 30, tzinfo=UTC))


@pytest.fixture
async def port(world: World, web_settings: Settings) -> AsyncIterator[int]:
    server = WebServer(build(world.services(), web_settings), port=0)
    await server.start()
    yield server.port
    await server.stop()


async def ask(port: int, path: str, headers: str = "", *, method: str = "GET") -> list[bytes]:
    """The answers of one connection to the request, twice in turn: to its first request the usual way may answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    found = []
    for _ in range(2):
        writer.write(
            f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: r\r\n{headers}\r\n".encode()
        )
        async with asyncio.timeout(5):
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"Content-Length: (\d+)", head)
            body = await reader.readexactly(int(length[1])) if length and method != "HEAD" else b""
        found.append(head + body)
        await asyncio.sleep(0)  # the server's task waits again
    writer.close()
    return found


def without_date(answer: bytes) -> bytes:
    return re.sub(rb"Date: [^\r]+\r\n", b"", answer)


def headers_of(answer: bytes) -> dict[str, str]:
    _, headers, _ = parts(answer)
    return {name: value for name, value in headers.items() if name != "Date"}


@pytest.mark.parametrize("path", [BY_ID, BY_PROPERTY, "/v1/graph/7", BY_REFERENCE, f"{BY_REFERENCE}?depth=2"])
async def test_the_same_answer_as_by_the_usual_way(port: int, world: World, path: str) -> None:
    world.reader.upper, world.reader.read_at = 255, 0.0
    world.reader.next_after = None
    usual = (await ask(port, path))[1]
    usual_calls = world.reader.calls.copy()
    world.reader.in_memory = True
    world.reader.body = TREE if "by-property" not in path else b"[]"
    express = (await ask(port, path))[1]
    assert world.reader.calls[-1][0] in RECALLS
    assert usual_calls[-1][1:] == world.reader.calls[-1][1:]
    assert headers_of(usual) == headers_of(express)
    assert parts(usual)[2] == parts(express)[2]
    assert world.observed[-1][0] == world.observed[0][0]
    assert [seen[1] for seen in world.observed] == [200] * 4


async def test_it_is_reached_and_keeps_the_connection(port: int, world: World) -> None:
    world.reader.in_memory = True
    first, second = await ask(port, BY_ID)
    assert parts(second)[0] == "HTTP/1.1 200 OK"
    assert parts(second)[1]["X-Request-Id"] == "r"
    assert world.reader.calls[-1] == SEEN
    assert without_date(first) == without_date(second)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ("If-None-Match: *\r\n", "HTTP/1.1 304 Not Modified"),
        ("Consistency-Token: 7.2.3-5\r\n", "HTTP/1.1 200 OK"),
        ("Consistency-Token: nonsense\r\n", "HTTP/1.1 400 Bad Request"),
        ("Content-Length: 2\r\n\r\n{}", "HTTP/1.1 200 OK"),
    ],
)
async def test_what_is_unusual_takes_the_usual_way(
    port: int, world: World, headers: str, status: str
) -> None:
    world.reader.in_memory = True
    answer = await exchange(
        port, f"GET {BY_ID} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n"
    )
    assert parts(answer)[0] == status
    assert SEEN not in world.reader.calls


async def test_head_takes_the_usual_way(port: int, world: World) -> None:
    world.reader.in_memory = True
    for answer in await ask(port, BY_ID, method="HEAD"):
        assert parts(answer)[2] == b""
    assert SEEN not in world.reader.calls


async def test_pipelined_requests_are_answered_in_order(port: int, world: World) -> None:
    world.reader.in_memory = True
    world.reader.delay_s = 0.05
    paths = ("/healthz", BY_ID, BY_ID, "/healthz")
    asked = [
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: r{n}\r\n\r\n"
        for n, path in enumerate(paths)
    ]
    answers = await exchange(port, *asked, END)
    assert re.findall(rb"X-Request-Id: r(\d)", answers) == [b"0", b"1", b"2", b"3"]
    assert answers.count(TREE) == 2


async def test_several_at_once_on_a_waiting_connection(port: int, world: World) -> None:
    world.reader.in_memory = True
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    request = f"GET {BY_ID} HTTP/1.1\r\nHost: localhost\r\n"
    for count in (1, 3):
        writer.write((request + "\r\n").encode() * count)
        for _ in range(count):
            async with asyncio.timeout(5):
                await reader.readuntil(TREE)
    writer.write((request + "Connection: close\r\n\r\n").encode())
    async with asyncio.timeout(5):
        assert parts(await reader.read())[2] == TREE
    writer.close()


async def test_a_request_in_pieces(port: int, world: World) -> None:
    world.reader.in_memory = True
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    request = f"GET {BY_ID} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    for piece in (request[:9], request[9:40], request[40:]):
        writer.write(piece.encode())
        await writer.drain()
        await asyncio.sleep(0.01)
    async with asyncio.timeout(5):
        assert parts(await reader.read())[2] == TREE
    writer.close()


async def test_a_compressed_answer_is_made_once(port: int, world: World) -> None:
    world.reader.in_memory = True
    world.reader.body = TREE * 40
    world.reader.kept = None
    kept = world.reader.recall(7, depth=3, since=None)
    assert kept is not None
    await ask(port, BY_ID, "Accept-Encoding: gzip\r\n")
    assert kept.memo is not None  # the usual way could not compress it: it knows another answer
    kept.memo.gzip = gzip.compress(kept.body or b"")  # type: ignore[attr-defined]
    _, answer = await ask(port, BY_ID, "Accept-Encoding: gzip\r\n")
    assert gzip.decompress(parts(answer)[2]) == world.reader.body
    assert parts(answer)[1]["Content-Encoding"] == "gzip"
    _, plain = await ask(port, BY_ID)
    assert parts(plain)[2] == world.reader.body


async def test_a_defect_on_the_way_is_told_by_the_usual_one(
    port: int, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(type(world.reader), "recall", broken)
    for answer in await ask(port, BY_ID):
        assert parts(answer)[0] == "HTTP/1.1 200 OK"


_VALUES = st.one_of(
    st.integers(-1, 12).map(str),
    st.sampled_from(
        [
            "2025-01-15",
            "2025-01-15T10:30:00Z",
            "2025-01-15T10%3A30%3A00Z",
            "2025-01-15T10:30:00.5Z",
            "2025-01-15T10:30:00+03:00",
            "2025-02-30",
            "2025-13-01T00:00:00Z",
            "2025-01-15T25:00:00Z",
            "0000-01-01",
            "9999-12-31",
            "03",
            "٣",
            "",
            "%31",
        ]
    ),
    st.text(alphabet="0123456789-:TZ%3A", max_size=20),
)
_QUERIES = st.lists(
    st.tuples(st.sampled_from([*sorted(tree_query.NAMES), "Depth", "limit", "cursor", "x", ""]), _VALUES),
    max_size=3,
).map(lambda pairs: "&".join(f"{name}={value}" for name, value in pairs))


@given(_QUERIES)
def test_a_recognised_query_is_the_one_that_the_usual_way_reads(query: str) -> None:
    found = recognised(query)
    if found is None:
        return
    read = URL.build(path="/v1/graph/7", query_string=query, encoded=True).query
    try:
        assert tree_query.read(read) == found
    except ProblemError as error:
        raise AssertionError(f"{query!r} is refused: {error.detail}") from None


def test_all_parameters_of_a_tree_are_recognised() -> None:
    day = datetime(2025, 1, 15, tzinfo=UTC)
    assert recognised("") == (parameters.DEFAULT_DEPTH, None, None)
    assert recognised("depth=10") == recognised("depthLimit=10") == (10, None, None)
    assert recognised("period=2025-01-15") == recognised("startTime=2025-01-15") == (3, day, None)
    assert recognised("depth=4&period=2025-01-15T12%3A00%3A00Z") == (4, day.replace(hour=12), None)
    assert recognised("startTime=2025-01-15T00:00:00%2B01:00&depthLimit=2&depth=2") == (2, day - HOUR, None)
    some = recognised("fields=name,edges&types=has_device&as_of=2025-01-15")
    assert some is not None
    assert some.selection == Selection(
        fields=Fields(members=frozenset({"edges"}), properties=frozenset({"name"})),
        types=frozenset({"has_device"}),
        until=datetime(2025, 1, 15, 23, 59, 59, 999_999, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    "query",
    [
        *("depth=11", "depth=0", "depth=2&depth=2", "depth=2&depthLimit=3", "depth", "depth=2#", "&x"),
        *("limit=3", "cursor=x", "trace=1&depth=2", "period=2025-02-30", "fields=,", "types=a%5C"),
        f"fields={'x' * 600}",
    ],
)
def test_other_queries_take_the_usual_way(query: str) -> None:
    assert recognised(query) is None


@pytest.fixture
async def keys() -> FakeKeys:
    return FakeKeys()


@pytest.fixture
async def guarded(world: World, web_settings: Settings, keys: FakeKeys) -> AsyncIterator[int]:
    """The port of a server that asks for keys, with an answer in memory."""
    keys.make()
    world.keys = ring_of(keys, StillClock())
    await world.keys.read()
    world.reader.in_memory = True
    server = WebServer(build(world.services(), web_settings), port=0)
    await server.start()
    yield server.port
    await server.stop()


@pytest.mark.parametrize("path", [BY_ID, BY_PROPERTY, BY_REFERENCE])
async def test_without_a_good_key_nothing_is_answered_from_memory(
    guarded: int, world: World, keys: FakeKeys, path: str
) -> None:
    stranger, wrong = FakeKeys().make(Scope.READ), keys.make(Scope.WRITE, Scope.ERASE, Scope.ADMIN)
    revoked = keys.make(Scope.READ)
    await keys.revoke(revoked.split("_")[1])
    assert world.keys is not None
    await world.keys.read()
    for sent in ("", f"Bearer {stranger}", f"Bearer {wrong}", f"Bearer {revoked}", f"Basic {wrong}"):
        for answer in await ask(guarded, path, f"Authorization: {sent}\r\n" if sent else ""):
            assert parts(answer)[0] in ("HTTP/1.1 401 Unauthorized", "HTTP/1.1 403 Forbidden")
            assert TREE not in answer
    assert not any(call[0] in RECALLS for call in world.reader.calls)


async def test_a_good_key_is_answered_from_memory(guarded: int, world: World, keys: FakeKeys) -> None:
    text = keys.make(Scope.READ)
    assert world.keys is not None
    await world.keys.read()
    first, second = await ask(guarded, BY_ID, f"Authorization: Bearer {text}\r\n")
    assert [parts(first)[0], parts(second)[0]] == ["HTTP/1.1 200 OK"] * 2
    assert world.reader.calls[-1] == SEEN


async def test_answers_from_memory_count_against_the_rate(guarded: int, world: World, keys: FakeKeys) -> None:
    text = keys.make(Scope.READ, rate=Rate(per_s=0.01, burst=3))
    assert world.keys is not None
    await world.keys.read()
    found = [
        answer for _ in range(3) for answer in await ask(guarded, BY_ID, f"Authorization: Bearer {text}\r\n")
    ]
    assert [parts(answer)[0].split(" ")[1] for answer in found] == ["200"] * 3 + ["429"] * 3
    assert SEEN in world.reader.calls
