"""Relationships as they go over the wire."""

from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from app.ports.graph import EdgePlace
from tests.unit.web.fakes import TOKENS, World

Client = TestClient[Any, Any]

PAGE = "/v1/graph/7/relationships"
COUNTS = f"{PAGE}/counts"


async def test_a_page_is_asked_for_what_the_query_says(client: Client, world: World) -> None:
    response = await client.get(PAGE, headers={"Consistency-Token": TOKENS.spell(5)})
    assert (response.status, await response.json()) == (200, [])
    assert response.headers["Cache-Status"] == "user-profile; fwd=bypass"
    assert response.headers["Consistency-Token"] == TOKENS.spell(9)
    assert "Link" not in response.headers
    await client.get(f"{PAGE}?direction=in&type=uses&entity_type=user&limit=3")
    first, second = world.relationships.calls
    assert first == {
        "direction": "out",
        "relationship_type": None,
        "entity_type": None,
        "limit": 20,
        "after": (0, 0),
        "token": 5,
    }
    assert second == {
        "direction": "in",
        "relationship_type": "uses",
        "entity_type": "user",
        "limit": 3,
        "after": (0, 0),
        "token": 0,
    }


async def test_the_next_page_begins_after_the_last_relationship(client: Client, world: World) -> None:
    world.relationships.next_after = EdgePlace(12, 2**62)
    response = await client.get(f"{PAGE}?direction=in&limit=3&trace=1")
    link = response.headers["Link"]
    url = link.removeprefix("<").partition(">")[0]
    assert (await client.get(url)).status == 200
    assert world.relationships.calls[-1]["after"] == (12, 2**62)
    assert world.relationships.calls[-1]["direction"] == "in"
    for other in ("direction=out", "direction=in&type=uses", "direction=in&entity_type=uses"):
        response = await client.get(f"{PAGE}?{other}&cursor={url.partition('cursor=')[2]}")
        assert (response.status, (await response.json())["type"]) == (400, "/problems/invalid-parameter")
    other = await client.get(url.replace("/7/", "/8/"))
    assert (other.status, (await other.json())["type"]) == (400, "/problems/invalid-parameter")


@pytest.mark.parametrize(
    "query",
    ["direction=both", "direction=out&direction=in", "type=", "entity_type=%00", "limit=0", "cursor=AAAA"],
)
async def test_a_query_that_means_nothing_is_a_400(client: Client, world: World, query: str) -> None:
    response = await client.get(f"{PAGE}?{query}")
    assert (response.status, (await response.json())["type"]) == (400, "/problems/invalid-parameter")
    assert world.relationships.calls == []


@pytest.mark.parametrize("path", [PAGE, COUNTS])
async def test_an_unknown_entity_is_a_404_and_a_merged_one_leads_on(
    client: Client, world: World, path: str
) -> None:
    unknown = path.replace("/7/", "/8/")
    response = await client.get(unknown)
    assert (response.status, (await response.json())["type"]) == (404, "/problems/not-found")
    world.entities.moved = {8: 7}
    response = await client.get(f"{unknown}?direction=in", allow_redirects=False)
    assert (response.status, response.headers["Location"]) == (301, f"{path}?direction=in")


@pytest.mark.parametrize("path", [PAGE, COUNTS])
async def test_an_answer_that_the_client_has_is_a_304(client: Client, path: str) -> None:
    etag = (await client.get(path)).headers["ETag"]
    again = await client.get(path, headers={"If-None-Match": etag})
    assert (again.status, await again.read()) == (304, b"")
