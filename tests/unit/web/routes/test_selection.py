"""`fields`, `types` and `as_of`; lists of entities; ids that lead on."""

from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from yarl import URL

from app.core.selection import Fields, Selection
from tests.unit.web.bodies import post
from tests.unit.web.fakes import World

Client = TestClient[Any, Any]

_PATHS = [
    "/v1/graph/7",
    "/v1/graph/by-reference/user/u-7",
    "/v1/graph/by-property/email/value/x",
]


def fields(*properties: str, members: tuple[str, ...] = (), series: tuple[str, ...] = ()) -> Selection:
    return Selection(
        fields=Fields(members=frozenset(members), properties=frozenset(properties), series=frozenset(series))
    )


@pytest.mark.parametrize(
    ("query", "asked"),
    [
        ("", None),
        ("?depth=2&period=2025-01-01&utm=1", None),
        ("?fields=name", fields("name")),
        ("?fields=name,edges,temporal_data.k,id", fields("name", members=("edges",), series=("k",))),
        ("?fields=properties.edges,a.b,properties.", fields("edges", "a.b", "properties.")),
        (r"?fields=a\,b,c\\", fields("a,b", "c\\")),
        ("?types=knows,likes", Selection(types=frozenset({"knows", "likes"}))),
        ("?as_of=2025-01-31T12:00:00Z", Selection(until=datetime(2025, 1, 31, 12, tzinfo=UTC))),
        ("?as_of=2025-01-31", Selection(until=datetime(2025, 1, 31, 23, 59, 59, 999999, tzinfo=UTC))),
        ("?as_of=9999-12-31", Selection(until=datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC))),
    ],
)
async def test_what_is_asked_for(client: Client, world: World, query: str, asked: Selection | None) -> None:
    for path in _PATHS:
        assert (await client.get(URL(f"{path}{query}"))).status == 200
    assert (await post(client, '{"entity_ids": [7]}', f"/v1/graph/batch{query}"))[0] == 200
    assert world.reader.selections == [asked] * 4


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("fields=", "fields"),
        ("fields=a,,b", "fields"),
        ("fields=a,", "fields"),
        ("fields=a\\", "fields"),
        ("fields=a&fields=b", "fields"),
        ("types=", "types"),
        ("types=" + "x" * 4097, "types"),
        ("as_of=yesterday", "as_of"),
        ("as_of=", "as_of"),
    ],
)
async def test_what_can_not_be_read_is_told(client: Client, query: str, parameter: str) -> None:
    for path in _PATHS:
        response = await client.get(URL(f"{path}?{query}"))
        problem = await response.json(content_type=None)
        assert (response.status, problem["type"]) == (400, "/problems/invalid-parameter")
        assert problem["parameter"] == parameter


async def test_a_next_page_keeps_the_selection(client: Client, world: World) -> None:
    world.reader.next_after = 7
    response = await client.get(
        "/v1/graph/by-property/email/value/x?fields=name,edges&types=knows&as_of=2025-01-31"
    )
    link = response.headers["Link"]
    assert "fields=name%2Cedges&types=knows&as_of=2025-01-31" in link
    world.reader.selections.clear()
    assert (await client.get(URL(link.partition(">")[0][1:], encoded=True))).status == 200
    assert world.reader.selections[0] == Selection(
        fields=fields("name", members=("edges",)).fields,
        types=frozenset({"knows"}),
        until=datetime(2025, 1, 31, 23, 59, 59, 999999, tzinfo=UTC),
    )


async def test_lists_are_paged(client: Client, world: World) -> None:
    world.entities.next_after = 41
    response = await client.get("/v1/entities?type=user&limit=5")
    assert (response.status, await response.read()) == (200, b"[]")
    assert response.headers["ETag"] == 'W/"5eed"'
    assert response.headers["Cache-Status"] == "user-profile; fwd=bypass"
    target = response.headers["Link"].partition(">")[0][1:]
    assert target.startswith("/v1/entities?type=user&limit=5&cursor=")
    world.entities.next_after = None
    last = await client.get(URL(target, encoded=True))
    assert "Link" not in last.headers
    assert world.entities.calls == [("user", 5, 0, 0), ("user", 5, 41, 0)]
    other = await client.get(URL(target.replace("type=user", "type=shop"), encoded=True))
    assert (other.status, (await other.json(content_type=None))["parameter"]) == (400, "cursor")


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "cursor=x", "type=", "type=%00"])
async def test_a_list_is_refused(client: Client, query: str) -> None:
    assert (await client.get(URL(f"/v1/entities?{query}", encoded=True))).status == 400


async def test_an_id_that_was_merged_leads_on(client: Client, world: World) -> None:
    world.entities.moved = {5: 7}
    response = await client.get("/v1/graph/5?depth=2", allow_redirects=False)
    assert (response.status, response.headers["Location"]) == (301, "/v1/graph/7?depth=2")
    assert await response.json() == {"id": 5, "moved_to": 7}
    assert "X-Request-Id" in response.headers
    assert (await client.get("/v1/graph/5")).status == 200
    assert (await client.get("/v1/graph/6")).status == 404
    status, items = await post(client, '{"entity_ids": [7, 5, 6, 5]}', "/v1/graph/batch")
    assert (status, [item and item.get("moved_to", item["id"]) for item in items]) == (200, [7, 7, None, 7])
