"""A connection on which much is alike is answered as one on which nothing is."""

import asyncio
import random
import re
from collections.abc import AsyncIterator, Callable

import pytest

from app.config.settings import Settings
from app.core.api_keys import Scope
from tests.unit.app.key_fakes import FakeKeys, StillClock, ring_of
from tests.unit.web.fakes import TREE, World
from web.application import build
from web.server.connection import ProblemHandler
from web.server.fair_share import Turns
from web.server.fast_path import Express
from web.server.server import WebServer

HOST = "Host: localhost\r\n"
LINE = "GET /v1/graph/7?depth=2 HTTP/1.1\r\n"


@pytest.fixture
async def port(world: World, web_settings: Settings) -> AsyncIterator[int]:
    world.reader.in_memory = True
    server = WebServer(build(world.services(), web_settings), port=0)
    await server.start()
    yield server.port
    await server.stop()


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The targets of requests that aiohttp's parser had read when they were answered from memory."""
    found: list[str] = []
    answer = Express.answer

    def noted(self: Express, message: object) -> bytes | None:
        found.append(message.path)  # type: ignore[attr-defined]
        return answer(self, message)  # type: ignore[arg-type]

    monkeypatch.setattr(Express, "answer", noted)
    return found


@pytest.fixture
def crowded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each request has to wait for its turn, as behind many others."""

    def wait(_: Turns, answer: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_later(0.01, answer)

    monkeypatch.setattr(Turns, "may_answer", lambda _: False)
    monkeypatch.setattr(Turns, "wait", wait)


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connected(cls, port: int) -> "Client":
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    def send(self, text: str) -> None:
        self._writer.write(text.encode())

    async def answer(self) -> tuple[int, bytes]:
        """The status and body of the next answer; 0 where the connection ended."""
        async with asyncio.timeout(5):
            try:
                head = await self._reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                return 0, b""
            length = re.search(rb"Content-Length: (\d+)", head)
            return int(head.split(b" ")[1]), await self._reader.readexactly(int(length[1]) if length else 0)

    async def asks(self, text: str) -> tuple[int, bytes]:
        self.send(text)
        return await self.answer()

    def end(self) -> None:
        self._writer.write_eof()

    def abort(self) -> None:
        self._writer.transport.abort()

    def close(self) -> None:
        self._writer.close()


@pytest.fixture
async def client(port: int) -> AsyncIterator[Client]:
    opened = await Client.connected(port)
    yield opened
    opened.close()


async def test_headers_that_come_again_are_parsed_once(
    client: Client, world: World, parsed: list[str]
) -> None:
    for depth in range(1, 6):
        assert await client.asks(f"GET /v1/graph/7?depth={depth} HTTP/1.1\r\n{HOST}\r\n") == (200, TREE)
    assert [call[2] for call in world.reader.calls] == [1, 2, 3, 4, 5]
    assert parsed == ["/v1/graph/7?depth=1"]
    assert [status for _, status, *_ in world.observed] == [200] * 5


async def test_a_first_request_is_answered_from_memory(client: Client, world: World) -> None:
    assert await client.asks(f"{LINE}{HOST}\r\n") == (200, TREE)
    assert world.reader.calls[0][0] == "recall"


@pytest.mark.parametrize(
    "other",
    [
        f"{LINE}{HOST}X: y\r\n\r\n",  # more headers
        f"{LINE}X: y\r\n{HOST}\r\n",  # the same end
        f"{LINE}Host: localhosT\r\n\r\n",  # the same length
        f"{LINE}{HOST}\r\n".replace("HTTP/1.1", "HTTP/1.0"),
        f"\r\n{LINE}{HOST}\r\n",
        f"{LINE}{HOST}\r\n".replace("?depth=2", "?depth=2&x"),
        f"{LINE}{HOST}\r\n".replace("/v1/graph/7?depth=2", "/healthz"),
        f"{LINE}{HOST}\r\n".replace("/v1", "http://localhost/v1"),
    ],
)
async def test_what_is_not_alike_is_parsed(client: Client, parsed: list[str], other: str) -> None:
    assert await client.asks(f"{LINE}{HOST}\r\n") == (200, TREE)
    status, _ = await client.asks(other)
    assert status == 200
    assert len(parsed) == 2


@pytest.mark.parametrize("line", ["GET /v1/graph/7\t HTTP/1.1\r\n", "GET\r\n"])
async def test_what_is_malformed_is_refused(client: Client, line: str) -> None:
    assert await client.asks(f"{LINE}{HOST}\r\n") == (200, TREE)
    status, _ = await client.asks(f"{line}{HOST}\r\n")
    assert status == 400


async def test_a_body_is_no_request(client: Client, world: World, parsed: list[str]) -> None:
    """Not even the rest of one that was refused before it had come whole."""
    request = f"{LINE}{HOST}\r\n"
    assert await client.asks(request) == (200, TREE)
    client.send(f"POST /v1/nothing HTTP/1.1\r\n{HOST}Content-Length: {2 * len(request)}\r\n\r\n")
    status, _ = await client.answer()
    assert status == 404
    for _ in range(2):
        client.send(request)
        await asyncio.sleep(0.02)
    assert await client.asks(f"{LINE}{HOST}Connection: close\r\n\r\n") in [(200, TREE), (0, b"")]
    assert await client.answer() == (0, b"")
    assert sum(call[0] == "recall" for call in world.reader.calls) == 1
    assert len(parsed) <= 2


async def test_a_request_that_comes_in_pieces_is_not_remembered(client: Client, parsed: list[str]) -> None:
    """Else the second piece would stand for headers that are those of both."""
    client.send(f"{LINE}{HOST}X: ")
    await asyncio.sleep(0.02)
    assert await client.asks(f"{LINE}\r\n") == (200, TREE)
    status, _ = await client.asks(f"{LINE}\r\n")
    assert status == 400, "it has no Host"
    assert len(parsed) == 1


async def test_what_began_in_another_piece_is_no_request(client: Client, parsed: list[str]) -> None:
    request = f"{LINE}{HOST}\r\n"
    assert await client.asks(request) == (200, TREE)
    status, _ = await client.asks(f"GET /v1/graph/8 HTTP/1.1\r\n{HOST}\r\n{LINE}X: ")
    assert status == 404
    await asyncio.sleep(0.01)
    assert await client.asks(request) == (200, TREE)  # whose first line is the value of X
    assert len(parsed) == 3


async def test_the_usual_way_answers_in_order(client: Client, world: World) -> None:
    world.reader.delay_s = 0.02
    slow = f"GET /v1/graph/by-reference/user/nobody HTTP/1.1\r\n{HOST}\r\n"
    request = f"{LINE}{HOST}\r\n"
    assert await client.asks(request) == (200, TREE)
    client.send(slow)
    for _ in range(2):
        await asyncio.sleep(0.005)
        client.send(request)
    assert [(await client.answer())[0] for _ in range(3)] == [404, 200, 200]
    assert await client.asks(request) == (200, TREE)


async def test_a_key_counts_until_it_is_revoked(world: World, web_settings: Settings) -> None:
    keys = FakeKeys()
    text = keys.make(Scope.READ)
    world.keys = ring_of(keys, StillClock())
    await world.keys.read()
    world.reader.in_memory = True
    settings = web_settings.model_copy(update={"auth": "required"})
    server = WebServer(build(world.services(), settings), port=0)
    await server.start()
    client = await Client.connected(server.port)
    request = f"{LINE}{HOST}Authorization: Bearer {text}\r\n\r\n"
    for _ in range(3):
        assert await client.asks(request) == (200, TREE)
    await keys.revoke(text.split("_")[1])
    await world.keys.read()
    status, body = await client.asks(request)
    assert status == 401
    assert TREE not in body
    client.close()
    await server.stop()


@pytest.mark.usefixtures("crowded")
async def test_who_waits_and_has_said_all_is_answered(client: Client) -> None:
    client.send(f"{LINE}{HOST}\r\n")
    client.end()
    assert await client.answer() == (200, TREE)
    assert await client.answer() == (0, b"")


@pytest.mark.usefixtures("crowded")
async def test_who_waits_and_goes_is_not_answered(
    port: int, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    loop = asyncio.get_running_loop()
    broken: list[object] = []
    loop.set_exception_handler(lambda _, context: broken.append(context))
    other = await Client.connected(port)
    assert await other.asks(f"{LINE}{HOST}\r\n") == (200, TREE)
    other.send(f"{LINE}{HOST}\r\n")
    other.abort()
    assert await client.asks(f"{LINE}{HOST}\r\n") == (200, TREE)
    await asyncio.sleep(0.02)
    assert (broken, caplog.messages) == ([], [])


@pytest.mark.usefixtures("crowded")
async def test_what_breaks_in_its_turn_ends_its_own_connection_alone(
    port: int, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = ProblemHandler._take

    def breaks(self: ProblemHandler, data: bytes) -> None:
        if b"X-Break" in data:
            raise RuntimeError
        take(self, data)

    monkeypatch.setattr(ProblemHandler, "_take", breaks)
    other = await Client.connected(port)
    other.send(f"{LINE}{HOST}X-Break: 1\r\n\r\n")
    client.send(f"{LINE}{HOST}\r\n")
    assert await client.answer() == (200, TREE)
    assert await other.answer() == (0, b"")
    other.close()


@pytest.mark.parametrize("is_crowded", [False, True])
@pytest.mark.parametrize("seed", range(8))
async def test_however_a_stream_is_cut_its_answers_are_the_same(
    client: Client, request: pytest.FixtureRequest, seed: int, is_crowded: bool
) -> None:
    if is_crowded:
        request.getfixturevalue("crowded")
    random_ = random.Random(seed)
    tree = f"{LINE}{HOST}\r\n"
    kinds = {
        "tree": (tree, 200),
        "other": (f"{LINE}{HOST}X-Request-Id: z\r\n\r\n", 200),
        "health": (f"GET /healthz HTTP/1.1\r\n{HOST}\r\n", 200),
        "missing": (f"GET /v1/graph/8 HTTP/1.1\r\n{HOST}\r\n", 404),
        "body": (f"POST /v1/nothing HTTP/1.1\r\n{HOST}Content-Length: {len(tree)}\r\n\r\n{tree}", 404),
    }
    drawn = [random_.choice(["tree", "tree", *kinds]) for _ in range(60)]
    stream = "".join(kinds[kind][0] for kind in drawn)
    ends = sorted(random_.sample(range(len(stream)), 40)) if seed % 2 else []
    if not ends:  # at the ends of requests
        at = 0
        for kind in drawn:
            at += len(kinds[kind][0])
            ends.append(at)

    async def sends() -> None:
        for start, end in zip([0, *ends], [*ends, len(stream)], strict=True):
            client.send(stream[start:end])
            await asyncio.sleep(random_.choice([0, 0, 0.001, 0.003]))

    sending = asyncio.create_task(sends())
    for kind in drawn:
        status, body = await client.answer()
        assert status == kinds[kind][1], kind
        if status == 200:
            assert (body == TREE) == (kind in ("tree", "other"))
    await sending
