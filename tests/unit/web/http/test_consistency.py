"""Consistency-Token on reads and writes."""

from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from app.core.models import Changes
from tests.seed_bodies import SEED_SYNC
from tests.unit.web.bodies import JSON
from tests.unit.web.fakes import TOKENS, World

HEADER = "Consistency-Token"
Client = TestClient[Any, Any]


@pytest.mark.parametrize(
    "path", ["/v1/graph/7", "/v1/graph/by-reference/user/u-7", "/v1/graph/by-property/mail/value/x"]
)
async def test_a_read_has_to_reach_its_token_and_tells_its_own(
    client: Client, world: World, path: str
) -> None:
    world.reader.upper = 4096
    response = await client.get(path, headers={HEADER: "7.2.3-1f"})
    assert (response.status, response.headers[HEADER]) == (200, TOKENS.spell(4096))
    assert world.reader.tokens == [31]
    await client.get(path)
    assert world.reader.tokens == [31, 0]


async def test_a_batch_of_reads_takes_a_token(client: Client, world: World) -> None:
    body = '{"entity_ids": [7]}'
    response = await client.post("/v1/graph/batch", data=body, headers={**JSON, HEADER: "7.2.3-a"})
    assert (response.status, world.reader.tokens) == (200, [10])


async def test_a_write_gives_one(client: Client, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def write(_: object) -> Changes:
        return Changes(position=255)

    monkeypatch.setattr(world.writer, "write", write)
    response = await client.post("/v1/graph/sync", data=SEED_SYNC, headers=JSON)
    assert (response.status, response.headers[HEADER]) == (202, TOKENS.spell(255))


@pytest.mark.parametrize(
    ("token", "code"),
    [("", "unreadable-token"), ("7.2.3", "unreadable-token"), ("7.2.3-XY", "unreadable-token")]
    + [(token, "foreign-token") for token in ("8.2.3-ff", "7.2.4-ff")],
)
async def test_what_is_no_token_of_ours_is_refused(client: Client, token: str, code: str) -> None:
    response = await client.get("/v1/graph/7", headers={HEADER: token})
    problem = await response.json()
    assert (response.status, problem["code"], problem["parameter"]) == (400, code, HEADER)


async def test_one_of_another_timeline_asks_for_all_that_the_primary_has(
    client: Client, world: World
) -> None:
    world.primary_position = 900
    assert (await client.get("/v1/graph/7", headers={HEADER: "7.1.3-ffff"})).status == 200
    assert world.reader.tokens == [900]
    world.primary_position = None
    assert (await client.get("/v1/graph/7", headers={HEADER: "7.1.3-ffff"})).status == 503


async def test_the_age_is_that_of_the_oldest_part(client: Client, world: World) -> None:
    assert "Age" not in (await client.get("/v1/graph/7")).headers
    world.reader.read_at = 1_759_665_590.0  # ten seconds ago
    assert (await client.get("/v1/graph/7")).headers["Age"] == "10"
    world.reader.cache = "miss"
    assert "Age" not in (await client.get("/v1/graph/7")).headers


async def test_one_that_is_ahead_of_the_primary_is_refused(
    client: Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TOKENS, "highest", 0)
    world.primary_position = 0x1000
    ahead = {HEADER: "7.2.3-1010"}
    refused = await client.get("/v1/graph/7", headers=ahead)
    assert (refused.status, (await refused.json())["code"]) == (400, "token-ahead")
    assert world.reader.tokens == []
    for text, tokens in (("1001", [0x1001]), ("1000", [0x1001, 0x1000]), ("a", [0x1001, 0x1000, 10])):
        assert (await client.get("/v1/graph/7", headers={HEADER: f"7.2.3-{text}"})).status == 200
        assert world.reader.tokens == tokens
    world.primary_position = 1  # what is known to exist is not asked about again
    assert (await client.get("/v1/graph/7", headers={HEADER: "7.2.3-1000"})).status == 200
    world.primary_position = None
    assert (await client.get("/v1/graph/7", headers=ahead)).status == 200  # whoever has reached it answers
