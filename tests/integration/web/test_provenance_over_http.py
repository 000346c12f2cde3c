"""Provenance on real stores: a write over HTTP is known by the id of its request."""

import json
from collections.abc import AsyncIterator
from typing import Any

import jsonschema
import pytest

from app.config.settings import Settings
from app.core.models import Batch, RecordSource
from tests.integration.web.serving import Served, serving
from tests.rows import prop
from web.openapi.document import document

pytestmark = pytest.mark.integration


@pytest.fixture
async def served(settings: Settings) -> AsyncIterator[Served]:
    async with serving(settings) as served:
        yield served


def described() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(document())
    return {"$ref": "#/components/schemas/Provenance", "components": found["components"]}


async def test_a_request_is_known_by_its_id(served: Served) -> None:
    client = served.client
    await served.stores.writer.write(
        Batch(properties=[prop("u", "a", "1")._replace(source=RecordSource("t", 2, 7)), prop("u", "b", "1")])
    )
    body = {
        "entities": [{"type": "user", "reference": "u", "properties": {"c": 1, "b": 2}}],
        "removed_properties": [{"type": "user", "reference": "u", "field": "d"}],
    }
    written = await client.post("/v1/graph/sync", json=body, headers={"X-Request-Id": "r-1"})
    given = await client.post(
        "/v1/graph/sync",
        json={"entities": [{"type": "user", "reference": "u", "properties": {"e": 1}}]},
    )
    assert (written.status, given.status) == (202, 202)
    response = await client.get(
        "/v1/graph/by-reference/user/u/provenance",
        headers={"Consistency-Token": given.headers["Consistency-Token"]},
    )
    answer = await response.json()
    jsonschema.Draft202012Validator(described()).validate(answer)
    by_request = {"kind": "request", "request_id": "r-1"}
    assert {field: told["source"] for field, told in answer["properties"].items()} == {
        "a": {"kind": "record", "topic": "t", "partition": 2, "offset": 7},
        "b": by_request,
        "c": by_request,
        "d": by_request,
        "e": {"kind": "request", "request_id": given.headers["X-Request-Id"]},
    }
    assert [field for field, told in answer["properties"].items() if told.get("removed")] == ["d"]
    tree = await (await client.get(f"/v1/graph/{answer['id']}")).json()
    for field, stored in tree["properties"].items():
        assert stored.keys() == {"value", "reference_date"}
        assert stored["reference_date"] == answer["properties"][field]["reference_date"]
    by_id = await client.get(f"/v1/graph/{answer['id']}/provenance")
    assert await by_id.json() == answer
    export = await (await client.get(f"/v1/graph/{answer['id']}/export")).text()
    lines = {
        line["field"]: line["source"] for line in map(json.loads, export.splitlines()) if "field" in line
    }
    assert lines == {field: told["source"] for field, told in answer["properties"].items()}


async def test_a_dry_run_leaves_no_trace(served: Served, db: Any) -> None:
    body = {"entities": [{"type": "user", "reference": "u", "properties": {"a": 1}}]}
    assert (await served.client.post("/v1/graph/sync", json=body)).status == 202
    before = await db.fetchrow("SELECT xmin::text, sources FROM entities")
    body["entities"][0]["properties"] = {"a": 2}
    asked = await served.client.post(
        "/v1/graph/sync?dry_run=true", json=body, headers={"X-Request-Id": "dry"}
    )
    assert asked.status == 200
    assert await db.fetchrow("SELECT xmin::text, sources FROM entities") == before
