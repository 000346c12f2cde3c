"""Provenance as it goes over the wire."""

from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from app.config.settings import Settings
from tests.unit.web.fakes import TOKENS, World
from web.application import build

Client = TestClient[Any, Any]

BY_ID = "/v1/graph/7/provenance"
BY_REFERENCE = "/v1/graph/by-reference/user/u-7/provenance"
UNKNOWN = ["/v1/graph/8/provenance", "/v1/graph/by-reference/user/u-8/provenance"]


@pytest.mark.parametrize(("path", "asked"), [(BY_ID, 7), (BY_REFERENCE, ("user", "u-7"))])
async def test_answers_as_other_reads_do(client: Client, world: World, path: str, asked: object) -> None:
    response = await client.get(path, headers={"Consistency-Token": TOKENS.spell(5)})
    assert (response.status, await response.json()) == (200, {"id": 7})
    assert world.provenance.calls == [(asked, 5)]
    assert response.headers["Cache-Status"] == "user-profile; fwd=bypass"
    assert response.headers["Consistency-Token"] == TOKENS.spell(9)
    etag = response.headers["ETag"]
    again = await client.get(path, headers={"If-None-Match": etag})
    assert (again.status, await again.read(), again.headers["ETag"]) == (304, b"", etag)
    head = await client.head(path)
    assert (head.status, await head.read(), head.headers["ETag"]) == (200, b"", etag)


@pytest.mark.parametrize("path", UNKNOWN)
async def test_an_unknown_entity_is_a_404(client: Client, path: str) -> None:
    response = await client.get(path)
    assert (response.status, (await response.json())["type"]) == (404, "/problems/not-found")


async def test_a_merged_placeholder_leads_on(client: Client, world: World) -> None:
    world.entities.moved = {8: 7}
    response = await client.get(UNKNOWN[0], allow_redirects=False)
    assert (response.status, response.headers["Location"]) == (301, BY_ID)


@pytest.mark.parametrize(
    "path", ["/v1/graph/x/provenance", "/v1/graph/0/provenance", "/v1/graph/by-reference//u/provenance"]
)
async def test_a_name_that_nobody_can_have_is_a_400(client: Client, path: str) -> None:
    response = await client.get(path)
    assert (response.status, (await response.json())["type"]) == (400, "/problems/invalid-parameter")


@pytest.mark.parametrize("path", [BY_ID, BY_REFERENCE, *UNKNOWN])
async def test_a_server_that_keeps_none_says_so(aiohttp_client: Any, world: World, path: str) -> None:
    client = await aiohttp_client(build(world.services(), Settings(_env_file=None, provenance=False)))
    response = await client.get(path)
    problem = await response.json()
    assert (response.status, problem["type"]) == (404, "/problems/provenance-off")
    assert "PROFILE_PROVENANCE" in (await (await client.get(problem["type"])).json())["meaning"]
    assert world.provenance.calls == []
