"""The export as it goes over the wire."""

import asyncio
import json
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp.test_utils import TestClient

from app.core.errors import TransientError
from app.core.export import Entity, Property, Temporal
from tests.unit.web.fakes import World

Client = TestClient[Any, Any]

ENTITY = Entity(
    id=7,
    type="user",
    reference="u-7",
    created_at="c",
    updated_at="u",
    exported_at="2025-10-05T12:00:00.000000Z",
)
POINT = Temporal(
    key="k",
    granularity="day",
    period_start="p",
    reference_date="d",
    version=1,
    value=msgspec.Raw(b"12345678901234567890.123"),
    created_at="c",
    updated_at="u",
)


async def test_lines_end_with_the_count_of_those_before(client: Client, world: World) -> None:
    hidden = Property(field="f", removed=True, reference_date="d")
    world.exporter.lines = [ENTITY, hidden, POINT]
    response = await client.get("/v1/graph/7/export", headers={"X-Request-Id": "r-1"})
    assert (response.status, response.content_type) == (200, "application/x-ndjson")
    assert response.headers["X-Request-Id"] == "r-1"
    assert response.headers["Cache-Control"] == "no-store"
    text = await response.text()
    assert '"value":12345678901234567890.123' in text
    lines = [json.loads(line) for line in text.splitlines()]
    assert lines[1] == {"kind": "property", "field": "f", "reference_date": "d", "removed": True}
    assert [line["kind"] for line in lines] == ["entity", "property", "temporal", "end"]
    assert lines[-1] == {"kind": "end", "lines": 3}
    assert world.exporter.open == 0


async def test_many_lines_are_written_in_chunks(client: Client, world: World) -> None:
    world.exporter.lines = [POINT] * 5_000
    response = await client.get("/v1/graph/7/export")
    chunks = [len(chunk) async for chunk, _ in response.content.iter_chunks()]
    assert len(chunks) > 5
    assert max(chunks) < 256 * 1024


async def test_head_has_the_headers_and_reads_nothing(client: Client, world: World) -> None:
    world.exporter.error = AssertionError("read")
    response = await client.head("/v1/graph/7/export")
    assert (response.status, response.content_type) == (200, "application/x-ndjson")
    assert await response.read() == b""


@pytest.mark.parametrize(("path", "status"), [("/v1/graph/8/export", 404), ("/v1/graph/x/export", 400)])
async def test_problems(client: Client, world: World, path: str, status: int) -> None:
    response = await client.get(path)
    assert (response.status, response.content_type) == (status, "application/problem+json")
    assert world.exporter.open == 0


async def test_what_fails_midway_is_no_whole_answer(client: Client, world: World) -> None:
    world.exporter.lines = [POINT] * 5_000
    world.exporter.error = TransientError("the primary is gone")
    response = await client.get("/v1/graph/7/export")
    assert response.status == 200
    with pytest.raises(aiohttp.ClientError):
        await response.read()
    assert world.exporter.open == 0


async def test_it_may_take_longer_than_other_requests(client: Client, world: World) -> None:
    async def lines() -> Any:
        yield ENTITY
        await asyncio.sleep(0.6)  # the limit of others is 0.2
        yield POINT

    world.exporter._lines = lines  # type: ignore[method-assign]
    response = await client.get("/v1/graph/7/export")
    assert (await response.text()).endswith('{"kind":"end","lines":2}\n')


async def test_a_merged_id_leads_on(client: Client, world: World) -> None:
    world.entities.moved = {8: 7}
    response = await client.get("/v1/graph/8/export?x=1", allow_redirects=False)
    assert (response.status, response.headers["Location"]) == (301, "/v1/graph/7/export?x=1")
    assert await response.json() == {"id": 8, "moved_to": 7}
    assert world.exporter.open == 0
