"""The whole HTTP surface on PostgreSQL and Redis: what is written is read back."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from app.clock import SystemClock
from app.settings import Settings
from storage.stores import Stores
from tests.seed_bodies import SEED_INGEST, SEED_SYNC
from web.application import WebServices, build

pytestmark = pytest.mark.integration

Client = TestClient[Any, Any]

ACCEPTED = {"status": "sync request accepted for processing"}


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[Client]:
    stores = await Stores.open(settings)
    services = WebServices(
        reader=stores.reader,
        writer=stores.writer,
        preview=stores.preview,
        directory=stores.directory,
        probes=stores.probes,
        clock=SystemClock(),
        metrics=lambda: (b"", "text/plain"),
    )
    try:
        async with TestClient(TestServer(build(services, settings))) as client:
            yield client
    finally:
        await stores.close()


async def post(client: Client, path: str, body: str) -> tuple[int, Any]:
    response = await client.post(path, data=body.encode(), headers={"Content-Type": "application/json"})
    return response.status, await response.json(content_type=None)


async def get(client: Client, path: str) -> tuple[int, Any]:
    response = await client.get(path)
    return response.status, await response.json(content_type=None)


def relation(source: str, target: str) -> str:
    return (
        f'{{"source_reference": "{source}", "source_type": "node", "target_reference": "{target}", '
        '"target_type": "node", "relationship_type": "next"}'
    )


async def test_reads_its_own_write(client: Client) -> None:
    assert await post(client, "/v1/graph/sync", SEED_SYNC) == (202, ACCEPTED)
    assert await post(client, "/v1/temporal/ingest", SEED_INGEST) == (202, ACCEPTED)

    status, tree = await get(client, "/v1/graph/by-reference/user/user-12345")
    assert status == 200
    assert {name: stored["value"] for name, stored in tree["properties"].items()} == {
        "name": "João Silva Updated",
        "status": "premium",
    }
    ((edge),) = tree["edges"]
    assert (edge["type"], edge["entity"]["type"], edge["entity"]["reference"]) == (
        "has_subscription",
        "unknown",
        "subscription-premium",
    )
    ((point),) = tree["temporal_data"]["payment_metrics"]
    assert point["value"] == {"transactions": 5, "total_amount": 2450.0, "average_ticket": 490.0}
    assert (point["granularity"], point["reference_date"][:19]) == ("day", "2025-01-15T23:59:59")

    assert (await get(client, f"/v1/graph/{tree['id']}")) == (200, tree)
    assert (await get(client, "/v1/graph/by-property/status/value/premium")) == (200, [tree])
    _, since = await get(client, f"/v1/graph/{tree['id']}?period=2025-02-01T00:00:00Z")
    assert not (since["temporal_data"] or {}).get("payment_metrics")
    _, batch = await post(client, "/v1/graph/batch", f'{{"entity_ids": [{tree["id"]}, 999999999]}}')
    assert batch == [tree, None]


async def test_a_later_write_is_seen_at_once_though_the_answer_was_cached(client: Client) -> None:
    for number in range(5):
        body = (
            f'{{"entities": [{{"reference": "u", "type": "user", "properties": {{"count": {number}.0}}}}]}}'
        )
        assert (await post(client, "/v1/graph/sync", body))[0] == 202
        for _ in range(2):
            response = await client.get("/v1/graph/by-reference/user/u")
            assert f'"value":{number}.0' in (await response.text()).replace(" ", "")
            assert response.headers["Cache-Status"].startswith("user-profile; ")
        _, found = await get(client, f"/v1/graph/by-property/count/value/{number}.0")
        assert len(found) == 1
        _, gone = await get(client, f"/v1/graph/by-property/count/value/{number + 10}")
        assert gone == []


async def test_a_cycle_ends(client: Client) -> None:
    body = f'{{"relationships": [{relation("a", "b")}, {relation("b", "a")}]}}'
    assert (await post(client, "/v1/graph/sync", body))[0] == 202
    status, tree = await get(client, "/v1/graph/by-reference/node/a?depth=10")
    assert status == 200
    (second,) = tree["edges"]
    (again,) = second["entity"]["edges"]
    assert again["entity"] == {"id": tree["id"], "type": "node", "reference": "a", "repeated": True}


async def test_an_ambiguous_reference_writes_nothing(client: Client) -> None:
    both = '{"entities": [{"reference": "x", "type": "user"}, {"reference": "x", "type": "organization"}]}'
    assert (await post(client, "/v1/graph/sync", both))[0] == 202
    body = (
        '{"entities": [{"reference": "y", "type": "user"}], "relationships": [{"source_reference": "y", '
        '"target_reference": "x", "relationship_type": "knows"}]}'
    )
    status, problem = await post(client, "/v1/graph/sync", body)
    assert (status, problem["candidates"]) == (422, ["organization", "user"])
    assert (await get(client, "/v1/graph/by-reference/user/y"))[0] == 404


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/graph/999999999", 404),
        ("/v1/graph/1?depth=11", 400),
        ("/v1/graph/abc", 400),
        ("/v1/graph/1?period=soon", 400),
        ("/v1/graph/by-reference/user/nobody", 404),
    ],
)
async def test_answers_problems(client: Client, path: str, status: int) -> None:
    response = await client.get(path)
    assert (response.status, response.content_type) == (status, "application/problem+json")


async def test_pages_lead_to_every_entity_once(client: Client) -> None:
    entities = ", ".join(
        f'{{"reference": "p{n}", "type": "user", "properties": {{"dept": "R&D/São Paulo"}}}}'
        for n in range(7)
    )
    assert (await post(client, "/v1/graph/sync", f'{{"entities": [{entities}]}}'))[0] == 202
    seen: list[str] = []
    path = "/v1/graph/by-property/dept/value/R%26D%2FS%C3%A3o%20Paulo?limit=3&depth=1"
    while path:
        response = await client.get(URL(path, encoded=True))
        assert response.status == 200
        seen += [tree["reference"] for tree in await response.json()]
        path = response.headers.get("Link", "").partition("<")[2].partition(">")[0]
    assert seen == [f"p{n}" for n in range(7)]


async def test_concurrent_writes_and_reads_agree(client: Client) -> None:
    async def one(number: int) -> None:
        body = (
            '{"entities": [{"reference": "same", "type": "user", "properties": '
            f'{{"f{number}": {number}}}}}]}}'
        )
        assert (await post(client, "/v1/graph/sync", body))[0] == 202
        _, tree = await get(client, "/v1/graph/by-reference/user/same")
        assert tree["properties"][f"f{number}"]["value"] == number

    await asyncio.gather(*map(one, range(20)))


async def test_ready_on_a_running_stack(client: Client) -> None:
    status, body = await get(client, "/readyz")
    assert (status, body["status"]) == (200, "ready"), body
    assert body["dependencies"]
