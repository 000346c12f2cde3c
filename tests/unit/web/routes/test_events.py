"""Streams of events as they go over the wire."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestClient

from app.config.settings import Settings
from app.core.domain_event import EVENT_TYPES, read_event, subject_of
from app.core.errors import TransientError
from tests.unit.web.fakes import World
from web.application import build
from web.events import sse
from web.server.server import WebServer

Client = TestClient[Any, Any]


@dataclass
class Message:
    id: str = ""
    event: str = ""
    data: str = ""
    retry: str = ""
    comment: str = ""

    @property
    def n(self) -> int:
        found: int = json.loads(self.data)["n"]
        return found


class Stream:
    """A client of the protocol."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.last_id = ""

    async def message(self) -> Message:
        """The next one, comments too. Raises EOFError."""
        found = Message()
        async with asyncio.timeout(3):
            while (line := await self.response.content.readline()) not in (b"\n", b""):
                name, _, value = line.decode().rstrip("\n").partition(":")
                setattr(found, name or "comment", value.removeprefix(" "))
        if not line:
            raise EOFError
        self.last_id = found.id or self.last_id
        return found

    async def event(self) -> Message:
        while True:
            found = await self.message()
            if found.data:
                return found

    async def numbers(self, count: int) -> list[int]:
        return [(await self.event()).n for _ in range(count)]

    async def comments(self) -> list[str]:
        """Those until the end."""
        found = []
        while True:
            try:
                message = await self.message()
            except EOFError:
                return found
            found += [message.comment] if message.comment else []


@asynccontextmanager
async def following(
    client: Client | aiohttp.ClientSession, path: str = "/v1/events", **more: Any
) -> AsyncIterator[Stream]:
    async with client.get(path, **more) as response:
        assert response.status == 200, await response.text()
        stream = Stream(response)
        assert (await stream.message()).retry == "2000"
        yield stream


def node(number: int, *below: dict[str, Any]) -> dict[str, Any]:
    edges = [{"type": "knows", "entity": entity} for entity in below]
    return {"id": number, "type": "user", "reference": f"u-{number}", "edges": edges}


def subject(number: int) -> str:
    return f"user:u-{number}"


async def test_messages(client: Client, world: World) -> None:
    async with following(client, headers={"X-Request-Id": "r-1"}) as stream:
        response = stream.response
        assert response.headers["Content-Type"] == "text/event-stream"
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["X-Request-Id"] == "r-1"
        assert stream.last_id
        world.topic.tell(1)
        message = await stream.message()
        assert (message.event, message.data) == ("entity_created", '{"n": 1}')
        assert message.id == stream.last_id


async def test_a_body_of_several_lines_is_one_message(client: Client, world: World) -> None:
    async with following(client) as stream:
        world.topic.tell(1, body=b'{"n":\r\n 1,\n\n"event":\r2}')
        assert (await stream.event()).data == '{"n":   1,  "event": 2}'
        world.topic.tell(2)
        assert (await stream.event()).n == 2


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", [1, 2, 3, 4, 5]),
        ("?type=entity_deleted", [2]),
        ("?type=entity_deleted,relationship_created", [2, 3]),
        ("?entity=user:u-8", [3, 4]),
        ("?entity=user:u-8&type=relationship_created", [3]),
        ("?entity=7", [1, 2, 3, 5]),
        ("?entity=6", [1, 2, 3, 5]),  # which was merged into 7
        ("?entity=user:u-7", [1, 2, 3]),
        ("?entity=a%3Ab%3Ac", [6]),  # the first colon ends the type
    ],
)
async def test_filters(client: Client, world: World, query: str, expected: list[int]) -> None:
    world.entities.moved = {6: 7}
    async with following(client, f"/v1/events{query}") as stream:
        world.topic.tell(1, subjects=(subject(7),))
        world.topic.tell(2, subjects=(subject(7),), kind="entity_deleted")
        world.topic.tell(3, subjects=(subject(7), subject(8)), kind="relationship_created")
        world.topic.tell(4, subjects=(subject(8),))
        world.topic.tell(5, subjects=("entity-7",))
        if "%3A" in query:
            world.topic.tell(7, subjects=(subject_of("a:b", "c"),))
            world.topic.tell(6, subjects=(subject_of("a", "b:c"),))
        assert await stream.numbers(len(expected)) == expected


@pytest.mark.parametrize(
    ("path", "status", "parameter"),
    [
        ("/v1/events?entity=", 400, "entity"),
        ("/v1/events?entity=user", 400, "entity"),
        ("/v1/events?entity=:u", 400, "entity"),
        ("/v1/events?entity=user:u&entity=user:v", 400, "entity"),
        ("/v1/events?type=", 400, "type"),
        ("/v1/events?type=entity_renamed", 400, "type"),
        ("/v1/events?last_event_id=nonsense", 400, "last_event_id"),
        ("/v1/events?entity=8", 404, None),
        ("/v1/graph/x/watch", 400, "id"),
        ("/v1/graph/7/watch?depth=11", 400, "depth"),
        ("/v1/graph/8/watch", 404, None),
    ],
)
async def test_refusals(client: Client, world: World, path: str, status: int, parameter: str | None) -> None:
    response = await client.get(path)
    assert (response.status, response.content_type) == (status, "application/problem+json")
    assert (await response.json(content_type=None)).get("parameter") == parameter
    assert world.topic.open == 0


async def test_head_reads_nothing(client: Client, world: World) -> None:
    response = await client.head("/v1/events")
    assert (response.status, response.content_type) == (200, "text/event-stream")
    assert world.topic.made == 0


async def test_each_event_comes_once_however_often_the_client_comes_back(
    client: Client, world: World
) -> None:
    async with following(client) as stream:
        last = stream.last_id
    found = []
    for n in range(30):
        world.topic.tell(n, partition=n % 2)
    for count in (1, 2, 3, 10):
        async with following(client, headers={"Last-Event-ID": last}) as stream:
            found += await stream.numbers(count)
            last = stream.last_id
    # A client without headers, whose URL an older id still stands in when it reconnects with one.
    async with following(client, f"/v1/events?last_event_id={last}") as stream:
        found += await stream.numbers(7)
        newest = stream.last_id
    async with following(
        client, f"/v1/events?last_event_id={last}", headers={"Last-Event-ID": newest}
    ) as stream:
        found += await stream.numbers(30 - len(found))
        world.topic.tell(30)
        found += await stream.numbers(1)
    assert sorted(found) == list(range(31))


async def test_silence_bears_the_position(aiohttp_client: Any, world: World, web_settings: Settings) -> None:
    quick = web_settings.model_copy(update={"web_event_heartbeat_s": 0.05})
    client = await aiohttp_client(build(world.services(), quick))
    async with following(client, "/v1/events?entity=user:nobody") as stream:
        before = stream.last_id
        world.topic.tell(1)
        while stream.last_id == before:
            message = await stream.message()
            assert (message.comment, message.data) == ("nothing new", "")
        world.topic.down = True
        while (await stream.message()).comment != "waiting for Kafka":
            pass
        world.topic.down = False
        while (await stream.message()).comment != "nothing new":
            pass
    async with following(client, headers={"Last-Event-ID": stream.last_id}) as stream:
        world.topic.tell(2)
        assert await stream.numbers(1) == [2]


async def test_what_is_gone_is_told(client: Client, world: World) -> None:
    async with following(client) as stream:
        last = stream.last_id
    for n in range(5):
        world.topic.tell(n)
    world.topic.oldest[0] = 3
    async with following(client, headers={"Last-Event-ID": last}) as stream:
        gap = await stream.event()
        assert (gap.event, list(json.loads(gap.data))) == ("gap", ["detail"])
        assert await stream.numbers(2) == [3, 4]


@pytest.fixture
async def session(world: World, web_settings: Settings) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of the real server; aiohttp's test server cancels handlers whose clients go."""
    settings = web_settings.model_copy(update={"web_port": 0})
    server = WebServer.from_settings(build(world.services(), settings), settings)
    await server.start()
    async with aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as session:
        yield session
    await server.stop()


async def test_it_outlasts_the_limit_of_requests(session: aiohttp.ClientSession, world: World) -> None:
    async with following(session) as stream:
        await asyncio.sleep(0.6)  # the limit of others is 0.2
        world.topic.tell(1)
        assert await stream.numbers(1) == [1]
    (seen,) = await once_observed(world)
    assert seen[:2] == ("/v1/events", 200)
    assert seen[2] < 0.1, "the time to the first byte"


async def once_observed(world: World) -> list[tuple[str, int, float, str]]:
    async with asyncio.timeout(3):
        while not world.observed:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return world.observed


async def test_a_stream_ends_after_its_time(
    aiohttp_client: Any, world: World, web_settings: Settings
) -> None:
    short = web_settings.model_copy(update={"web_event_stream_s": 0.1})
    client = await aiohttp_client(build(world.services(), short))
    async with following(client) as stream:
        assert await stream.comments() == ["it is time for a new stream; come back with the last id"]
    assert world.topic.open == 0


async def test_too_many_are_refused(client: Client) -> None:
    async with following(client), following(client):
        response = await client.get("/v1/events")
        assert response.status == 503
        assert response.headers["Retry-After"] == "1"
        assert "PROFILE_WEB_EVENT_STREAMS" in (await response.json(content_type=None))["detail"]


async def test_who_goes_makes_room(
    session: aiohttp.ClientSession, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "_LOOK_S", 0.02)
    for _ in range(2):
        response = await session.get("/v1/events")
        response.close()
    async with asyncio.timeout(30):
        while world.topic.open:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    async with session.get("/v1/events") as response:
        assert response.status == 200


async def test_with_kafka_down(client: Client, world: World) -> None:
    world.topic.down = True
    response = await client.get("/v1/events")
    assert (response.status, response.content_type) == (503, "application/problem+json")
    assert (await response.json(content_type=None))["type"] == "/problems/unavailable"


async def stalled_client(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
    writer.write(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await reader.readuntil(b"retry")
    return reader, writer


@pytest.mark.parametrize(
    ("ring_bytes", "reason"), [(1 << 30, b"you read too slowly"), (1 << 20, b"you fell behind")]
)
async def test_a_client_that_does_not_read_is_sent_away(
    world: World, monkeypatch: pytest.MonkeyPatch, ring_bytes: int, reason: bytes
) -> None:
    world.max_event_bytes = ring_bytes
    # Whoever reads on in time is told why.
    monkeypatch.setattr(sse, "_FAREWELL_S", 5.0)
    settings = Settings(_env_file=None, web_port=0, web_request_timeout_s=0.5)
    server = WebServer.from_settings(build(world.services(), settings), settings)
    await server.start()
    reader, writer = await stalled_client(server.port)
    for n in range(200):
        world.topic.tell(n, body=b'{"n": "%b"}' % (b"x" * 200_000))
    await asyncio.sleep(1.5 if ring_bytes > 1 << 20 else 0.3)
    rest = b""
    async with asyncio.timeout(20):
        while not rest.endswith(b"\r\n0\r\n\r\n"):
            data = await reader.read(1 << 20)
            assert data, rest
            rest = rest[-200:] + data
    assert reason in rest
    writer.close()
    async with asyncio.timeout(3):
        while world.topic.open:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await server.stop()


async def test_a_stop_does_not_wait_for_streams(world: World) -> None:
    settings = Settings(_env_file=None, web_port=0, web_shutdown_timeout_s=30)
    server = WebServer.from_settings(build(world.services(), settings), settings)
    await server.start()
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{server.port}/v1/events") as response,
    ):
        stream = Stream(response)
        await stream.message()
        async with asyncio.timeout(10):
            await server.stop()
        assert await stream.comments() == ["the server stops; come back with the last id"]
    assert world.topic.open == 0


async def test_a_tree_is_watched_as_it_changes(client: Client, world: World) -> None:
    world.reader.body = json.dumps(node(7, node(8))).encode()
    async with following(client, "/v1/graph/7/watch?depth=2") as stream:
        world.topic.tell(1, subjects=(subject(8),), kind="temporal_data_updated")
        world.topic.tell(2, subjects=(subject(9),), kind="temporal_data_updated")
        assert await stream.numbers(1) == [1]
        looked = len(world.reader.calls)
        world.topic.tell(3, subjects=(subject(99),))
        world.reader.body = json.dumps(node(7, node(8, node(9)))).encode()
        world.topic.tell(4, subjects=(subject(8), subject(9)), kind="relationship_created")
        world.topic.tell(5, subjects=(subject(9),), kind="temporal_data_updated")
        assert await stream.numbers(2) == [4, 5]
        assert len(world.reader.calls) == looked + 1, "the tree is read when it may have changed, alone"
        world.reader.body = json.dumps(node(7)).encode()
        world.topic.tell(6, subjects=(subject(7), subject(8)), kind="relationship_deleted")
        world.topic.tell(7, subjects=("user:someone",))  # so that it looks
        world.topic.tell(8, subjects=(subject(9),), kind="temporal_data_updated")
        world.topic.tell(9, subjects=("entity-7",), kind="entity_erased")
        assert await stream.numbers(2) == [6, 9]
    assert world.reader.calls[-1] == ("graph", 7, 2, None)
    assert world.reader.tokens[-1] == 500, "as new as the primary"


async def test_a_tree_that_can_not_be_read_ends_the_stream_and_nothing_is_lost(
    client: Client, world: World
) -> None:
    world.reader.body = json.dumps(node(7, node(8))).encode()
    async with following(client, "/v1/graph/7/watch") as stream:
        world.topic.tell(1, subjects=(subject(7), subject(9)), kind="relationship_created")
        assert await stream.numbers(1) == [1]
        world.reader.error = TransientError("PostgreSQL is down")
        world.topic.tell(2, subjects=(subject(9),))
        assert await stream.comments() == ["a dependency is not available now; come back with the last id"]
    assert (await client.get("/v1/graph/7/watch")).status == 503
    world.reader.error = None
    world.reader.body = json.dumps(node(7, node(9))).encode()
    async with following(client, "/v1/graph/7/watch", headers={"Last-Event-ID": stream.last_id}) as stream:
        assert await stream.numbers(1) == [2]


async def test_a_watch_of_a_merged_entity_leads_on(client: Client, world: World) -> None:
    world.entities.moved = {8: 7}
    response = await client.get("/v1/graph/8/watch?depth=2", allow_redirects=False)
    assert (response.status, response.headers["Location"]) == (301, "/v1/graph/7/watch?depth=2")


def test_the_types_are_those_of_the_schemas() -> None:
    schemas = Path(__file__).parents[4] / "cdc/schemas"
    assert set(EVENT_TYPES) == {path.stem for path in schemas.glob("*.json")}


@dataclass
class Record:
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = (
        ("schema_version", b"v1"),
        ("event_type", b"relationship_created"),
    )
    topic: str = "t"
    partition: int = 1
    offset: int = 2
    timestamp: int = 3


@pytest.mark.parametrize(
    ("value", "target"),
    [
        (
            b'{"data": {"target_entity_type": "a:b", "target_entity_reference": "c"}}',
            (subject_of("a:b", "c"),),
        ),
        (b'{"data": {"target_entity_reference": "entity-5"}}', ("entity-5",)),
        (b'{"data": {}}', ()),
        (b"{", ()),
        (b'"\xff"', ()),
    ],
)
def test_whom_an_event_is_about(value: bytes, target: tuple[str, ...]) -> None:
    event = read_event(Record(b"user:u-1", value))
    assert event is not None
    assert event.subjects == ("user:u-1", *target)


def test_what_is_no_event() -> None:
    assert read_event(Record(b"k", None)) is None
    strange = read_event(Record(b"\xff", b"{}", (("event_type", b"a\n\nb"),)))
    assert strange is not None
    assert strange.type == ""
