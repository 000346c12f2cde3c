"""Reads: what the reader is asked, and how its answer goes out."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from multidict import CIMultiDict
from yarl import URL

from tests.unit.web.fakes import TREE, World

Client = TestClient[Any, Any]
NEW_YEAR = datetime(2025, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("query", "depth", "since"),
    [
        ("", 3, None),
        ("?depth=1", 1, None),
        ("?depth=10&period=2025-01-01", 10, NEW_YEAR),
        ("?depthLimit=2&startTime=2025-01-01T00:00:00Z", 2, NEW_YEAR),
        ("?depth=2&depthLimit=02", 2, None),
        ("?period=2025-01-01&startTime=2025-01-01T03:00:00%2B03:00", 3, NEW_YEAR),
        ("?period=2025-01-01T03:00:00+03:00", 3, NEW_YEAR),
        ("?utm_source=mail&utm_source=web", 3, None),
    ],
)
async def test_reads_depth_and_period(
    client: Client, world: World, query: str, depth: int, since: datetime | None
) -> None:
    response = await client.get(f"/v1/graph/7{query}")
    assert (response.status, await response.read()) == (200, TREE)
    assert world.reader.calls == [("graph", 7, depth, since)]


@pytest.mark.parametrize(
    ("path", "parameter"),
    [
        ("/v1/graph/0", "id"),
        ("/v1/graph/-1", "id"),
        ("/v1/graph/abc", "id"),
        ("/v1/graph/", "id"),
        ("/v1/graph/1.5", "id"),
        ("/v1/graph/%D9%A7", "id"),
        ("/v1/graph/9223372036854775808", "id"),
        ("/v1/graph/99999999999999999999999", "id"),
        ("/v1/graph/7?depth=0", "depth"),
        ("/v1/graph/7?depth=11", "depth"),
        ("/v1/graph/7?depth=", "depth"),
        ("/v1/graph/7?depth=x", "depth"),
        ("/v1/graph/7?depth=1&depth=1", "depth"),
        ("/v1/graph/7?depth=1&depthLimit=2", "depth"),
        ("/v1/graph/7?depthLimit=11", "depthLimit"),
        ("/v1/graph/7?period=yesterday", "period"),
        ("/v1/graph/7?period=2025-13-01", "period"),
        ("/v1/graph/7?startTime=2025", "startTime"),
        ("/v1/graph/7?period=2025-01-01&startTime=2025-01-02", "period"),
        ("/v1/graph/by-property//value/x", "prop"),
        ("/v1/graph/by-property/email/value/a%00b", "value"),
        ("/v1/graph/by-property/%22utm.source/value/x", "prop"),
        ("/v1/graph/by-property/a.%22b%22c/value/x", "prop"),
        ("/v1/graph/by-property/email/value/x?limit=0", "limit"),
        ("/v1/graph/by-property/email/value/x?limit=101", "limit"),
        ("/v1/graph/by-property/email/value/x?limit=1&limit=2", "limit"),
        ("/v1/graph/by-property/email/value/x?cursor=nonsense", "cursor"),
        ("/v1/graph/by-property/email/value/x?cursor=", "cursor"),
        ("/v1/graph/by-property/email/value/x?cursor=%C3%A9", "cursor"),
        (f"/v1/graph/by-reference/user/{'x' * 1025}", "reference"),
        ("/v1/graph/by-reference//u-7", "type"),
    ],
)
async def test_refuses_a_bad_parameter(client: Client, world: World, path: str, parameter: str) -> None:
    response = await client.get(URL(path, encoded=True))
    assert response.status == 400
    assert response.content_type == "application/problem+json"
    problem = await response.json(content_type=None)
    assert (problem["type"], problem["parameter"]) == ("/problems/invalid-parameter", parameter)
    assert problem["request_id"] == response.headers["X-Request-Id"]
    assert world.reader.calls == []


@pytest.mark.parametrize(
    "path", ["/v1/graph/8", "/v1/graph/by-reference/user/other", "/nowhere", "/v1/graph/7/x"]
)
async def test_answers_404_where_there_is_nothing(client: Client, path: str) -> None:
    response = await client.get(path)
    problem = await response.json(content_type=None)
    assert (response.status, problem["type"], problem["instance"]) == (404, "/problems/not-found", path)
    assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("segment", "value"),
    [
        ("joao@email.com", "joao@email.com"),
        ("a%2Fb%2fc", "a/b/c"),
        ("Jo%C3%A3o%20Silva", "João Silva"),
        ("100%25", "100%"),
        ("%7Bx%7D", "{x}"),
        ("a+b", "a+b"),
        ("a%3Fb%23c", "a?b#c"),
        ("line%0Afeed", "line\nfeed"),
        ("", ""),
        ("value", "value"),
    ],
)
async def test_decodes_the_value_of_a_property(
    client: Client, world: World, segment: str, value: str
) -> None:
    path = f"/v1/graph/by-property/document.number/value/{segment}"
    response = await client.get(URL(path, encoded=True))
    assert (response.status, await response.text()) == (200, "[]")
    assert world.reader.calls == [("by_property", "document.number", value, 3, None, 20, 0)]
    assert "Link" not in response.headers


async def test_pages_by_cursor(client: Client, world: World) -> None:
    world.reader.next_after = 7
    first = await client.get("/v1/graph/by-property/dept/value/R%26D?limit=2&depth=1&x=y")
    assert json.loads(await first.read()) == [json.loads(TREE)]
    target, _, relation = first.headers["Link"].partition(">; ")
    assert (target[0], relation) == ("<", 'rel="next"')
    assert "?depth=1&limit=2&cursor=" in target
    world.reader.next_after = None
    second = await client.get(URL(target[1:], encoded=True))
    assert second.status == 200
    assert world.reader.calls[1] == ("by_property", "dept", "R&D", 1, None, 2, 7)


async def test_a_cursor_belongs_to_its_lookup(client: Client, world: World) -> None:
    world.reader.next_after = 7
    first = await client.get("/v1/graph/by-property/dept/value/x")
    cursor = first.headers["Link"].partition("cursor=")[2].partition(">")[0]
    other = await client.get(f"/v1/graph/by-property/dept/value/y?cursor={cursor}")
    assert other.status == 400


@pytest.mark.parametrize("path", ["/v1/graph/by-reference/user/u-7", "/v1/graph/by-reference/user/u%2D7"])
async def test_reads_by_reference(client: Client, path: str) -> None:
    response = await client.get(URL(path, encoded=True))
    assert (response.status, await response.read()) == (200, TREE)


@pytest.mark.parametrize(
    ("cache", "stored", "verified", "header"),
    [
        ("hit", False, True, "user-profile; hit"),
        ("hit", True, True, "user-profile; hit"),
        ("miss", True, True, "user-profile; fwd=miss; stored"),
        ("miss", False, True, "user-profile; fwd=miss"),
        ("bypass", False, True, "user-profile; fwd=bypass"),
        ("bypass", False, False, "user-profile; fwd=bypass; detail=unverified"),
    ],
)
async def test_says_where_an_answer_came_from(
    client: Client, world: World, cache: str, *, stored: bool, verified: bool, header: str
) -> None:
    world.reader.cache, world.reader.stored, world.reader.verified = cache, stored, verified
    response = await client.get("/v1/graph/7")
    assert response.headers["Cache-Status"] == header
    assert world.observed[0][:2] == (
        "/v1/graph/{id}",
        200,
    )
    assert world.observed[0][3] == cache


async def test_validates_what_the_client_holds(client: Client, world: World) -> None:
    first = await client.get("/v1/graph/7")
    etag = first.headers["ETag"]
    assert etag.startswith('W/"')
    assert first.headers["Cache-Control"] == "no-cache"
    assert first.headers["Vary"] == "Accept-Encoding"
    for held in (etag, etag[2:], f'"other", {etag}', "*"):
        again = await client.get("/v1/graph/7", headers={"If-None-Match": held})
        assert (again.status, await again.read(), again.headers["ETag"]) == (304, b"", etag)
    lines = CIMultiDict([("If-None-Match", '"other"'), ("If-None-Match", etag)])
    assert (await client.get("/v1/graph/7", headers=lines)).status == 304
    world.reader.body = TREE.replace(b"u-7", b"u-8")
    changed = await client.get("/v1/graph/7", headers={"If-None-Match": etag})
    assert changed.status == 200
    assert changed.headers["ETag"] != etag


@pytest.mark.parametrize(
    ("accept", "size", "gzipped"),
    [
        ("gzip", 2000, True),
        ("br, gzip;q=0.5", 2000, True),
        ("*", 2000, True),
        ("gzip", 200_000, True),
        ("gzip", 10, False),
        ("gzip;q=0", 2000, False),
        ("*;q=0", 2000, False),
        ("identity", 2000, False),
        ("gzip;q=x.y, ;;", 2000, False),
        ("", 2000, False),
    ],
)
async def test_compresses_when_asked(
    client: Client, world: World, accept: str, size: int, gzipped: bool
) -> None:
    world.reader.body = b'"' + b"a" * size + b'"'
    async with client.get("/v1/graph/7", headers={"Accept-Encoding": accept}) as response:
        body = await response.read()
        assert response.headers.get("Content-Encoding") == ("gzip" if gzipped else None)
        sent = int(response.headers["Content-Length"])
        assert (sent < len(world.reader.body)) == gzipped
        assert body == world.reader.body  # the client decompresses


async def test_head_has_the_headers_of_get(client: Client) -> None:
    for path in ("/v1/graph/7", "/v1/graph/by-property/a/value/b", "/healthz", "/", "/v1/graph/8"):
        got, head = await client.get(path), await client.head(path)
        assert (head.status, await head.read()) == (got.status, b"")
        assert head.headers["Content-Type"] == got.headers["Content-Type"]
        if got.status == 200:
            assert head.headers.get("ETag") == got.headers.get("ETag")
            assert head.headers["Content-Length"] == got.headers["Content-Length"]


async def test_batch_answers_for_each_id(client: Client, world: World) -> None:
    response = await client.post("/v1/graph/batch?depth=2", json={"entity_ids": [7, 8, 7]})
    tree = json.loads(TREE)
    assert (response.status, await response.json()) == (200, [tree, None, tree])
    assert world.reader.calls == [("batch", [7, 8, 7], 2, None)]
    assert response.headers["Cache-Status"] == "user-profile; hit"
    assert "ETag" not in response.headers


async def test_an_empty_batch_asks_nobody(client: Client, world: World) -> None:
    response = await client.post("/v1/graph/batch", json={"entity_ids": []})
    assert (response.status, await response.text(), world.reader.calls) == (200, "[]", [])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"entity_ids": list(range(1, 102))}, "entity_ids"),
        ({"entity_ids": [7, "8"]}, "entity_ids[1]"),
        ({"entity_ids": [0]}, "entity_ids[0]"),
        ({"entity_ids": [True]}, "entity_ids[0]"),
        ({"entity_ids": [2**63]}, "entity_ids[0]"),
        ({"entity_ids": None}, "entity_ids"),
        ({}, "entity_ids"),
    ],
)
async def test_refuses_a_bad_batch(client: Client, body: object, field: str) -> None:
    response = await client.post("/v1/graph/batch", json=body)
    problem = await response.json(content_type=None)
    assert (response.status, problem.get("field")) == (422, field)
