"""Dead letters over HTTP."""

from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from app.core.errors import BusyError, TransientError
from app.core.records import StoredLetter
from tests.unit.web.fakes import World

Client = TestClient[Any, Any]


def letter(letter_id: str, **told: Any) -> StoredLetter:
    told = {
        "topic": "properties",
        "timestamp_ms": 1_736_937_000_123,
        "key": b"user:maria",
        "value": b'{"secret": 1}',
        "error": "missing-field",
        "reason": "id is missing.",
        "headers": (),
        **told,
    }
    return StoredLetter(stored_key=letter_id.encode(), **told)


@pytest.fixture(autouse=True)
def some(world: World) -> None:
    found = [
        letter("properties/0/1"),
        letter("properties/1/2/devices[3]", key=None, value=b"\xff"),
        letter("odd", key=b"\xfe", value=None, timestamp_ms=10**18),
    ]
    world.letter_box.letters = {each.id: each for each in found}


async def listed(client: Client, query: str = "") -> Any:
    response = await client.get(f"/v1/dead-letters{query}")
    assert (response.status, response.headers["Cache-Control"]) == (200, "no-store")
    return await response.json()


async def test_what_is_told_of_each(client: Client) -> None:
    first, second, third = await listed(client)
    assert first == {
        "id": "properties/0/1",
        "topic": "properties",
        "partition": 0,
        "offset": 1,
        "timestamp": "2025-01-15T10:30:00.123000Z",
        "error": "missing-field",
        "reason": "id is missing.",
        "key": {"text": "user:maria"},
    }
    assert (second["partition"], second["offset"], second["key"]) == (1, 2, None)  # of a part of its record
    assert (third["partition"], third["offset"], third["timestamp"]) == (None, None, None)
    assert third["key"] == {"base64": "/g=="}


async def test_payloads_are_told_where_they_are_asked_for(client: Client) -> None:
    told = [each["payload"] for each in await listed(client, "?payload=true")]
    assert told == [{"text": '{"secret": 1}'}, {"base64": "/w=="}, None]
    assert all("payload" not in each for each in await listed(client, "?payload=false"))


async def test_pages_lead_on(client: Client, world: World) -> None:
    found, path = [], "/v1/dead-letters?topic=properties&limit=1&payload=true"
    while True:
        response = await client.get(path)
        found += [each["id"] for each in await response.json()]
        if "Link" not in response.headers:
            break
        path = response.headers["Link"].partition(">")[0].removeprefix("<")
    assert found == ["properties/0/1", "properties/1/2/devices[3]", "odd"]
    assert world.letter_box.calls == [
        ("properties", 1, None),
        ("properties", 1, (6, 0)),
        ("properties", 1, (6, 1)),
    ]
    cursor = path.rpartition("cursor=")[2]
    assert (await client.get(f"/v1/dead-letters?cursor={cursor}")).status == 400, "of another list"


@pytest.mark.parametrize(
    ("query", "parameter"),
    [("?topic=users", "topic"), ("?limit=0", "limit"), ("?payload=1", "payload"), ("?cursor=x", "cursor")],
)
async def test_refusals(client: Client, query: str, parameter: str) -> None:
    response = await client.get(f"/v1/dead-letters{query}")
    assert response.status == 400
    assert (await response.json(content_type=None))["parameter"] == parameter


async def test_replay(client: Client, world: World) -> None:
    response = await client.post("/v1/dead-letters/properties/0/1/replay")
    assert (response.status, await response.json()) == (200, {"id": "properties/0/1", "status": "replayed"})
    assert "properties/0/1" not in world.letter_box.letters
    again = await client.post("/v1/dead-letters/properties/0/1/replay")
    assert (again.status, again.content_type) == (404, "application/problem+json")


async def test_a_letter_that_stays(client: Client, world: World) -> None:
    world.letter_box.stays = "its record had no value (a tombstone): drop it"
    response = await client.post("/v1/dead-letters/properties/0/1/replay")
    assert response.status == 409
    body = await response.json(content_type=None)
    assert body["type"] == "/problems/not-replayable"
    assert "tombstone" in body["detail"]


@pytest.mark.parametrize("error", [TransientError("Kafka is down"), BusyError("others are reading")])
async def test_when_it_can_not_be_done_now(client: Client, world: World, error: Exception) -> None:
    world.letter_box.error = error
    for response in (
        await client.get("/v1/dead-letters"),
        await client.post("/v1/dead-letters/properties/0/1/replay"),
    ):
        assert (response.status, response.headers["Retry-After"]) == (503, "1")
