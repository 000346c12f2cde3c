"""`removed_relationships` and `removed_properties`: what is taken, what is refused, and how a dry run shows it."""

import json
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from app.core.models import PropertyRow, RemovedEdge
from app.core.preview import Difference, Preview, Stored
from tests.rows import DAY0
from tests.unit.web.bodies import TOLD_BY, post
from tests.unit.web.fakes import NOW, World

Client = TestClient[Any, Any]

EDGE = {"source_reference": "a", "target_reference": "b", "relationship_type": "knows"}
TYPED = {**EDGE, "source_type": "user", "target_type": "org"}
PROPERTY = {"reference": "a", "type": "user", "field": "f"}


def removing(*, relationships: list[Any] | None = None, properties: list[Any] | None = None) -> str:
    return json.dumps({"removed_relationships": relationships or [], "removed_properties": properties or []})


async def test_a_removed_property_has_its_date_or_that_of_the_request(client: Client, world: World) -> None:
    dated = {**PROPERTY, "field": "g", "reference_date": "2025-01-01T00:00:00Z"}
    assert (await post(client, removing(properties=[PROPERTY, dated])))[0] == 202
    (batch,) = world.writer.batches
    assert batch.properties == [
        PropertyRow("user", "a", "f", None, "2025-10-05T12:00:00.123456Z", NOW, TOLD_BY),
        PropertyRow("user", "a", "g", None, "2025-01-01T00:00:00.000000Z", NOW, TOLD_BY),
    ]
    assert (batch.entities, batch.edges, batch.removed_edges) == ([], [], [])


async def test_null_is_a_value(client: Client, world: World) -> None:
    body = '{"entities": [{"reference": "a", "type": "user", "properties": {"f": null}}]}'
    assert (await post(client, body))[0] == 202
    assert [row.value for row in world.writer.batches[0].properties] == ["null"]


async def test_a_removed_relationship_may_leave_out_its_types(client: Client, world: World) -> None:
    world.directory.types = {"a": ["user"], "b": ["unknown", "org"]}
    assert (await post(client, removing(relationships=[EDGE])))[0] == 202
    assert world.writer.batches[0].removed_edges == [RemovedEdge("user", "a", "org", "b", "knows")]
    assert world.directory.asked == [["a", "b"]]


async def test_several_types_of_a_reference_are_named(client: Client, world: World) -> None:
    world.directory.types = {"a": ["device", "user"], "b": ["org"]}
    status, problem = await post(client, removing(relationships=[TYPED, EDGE]))
    assert (status, problem["type"], problem["field"]) == (
        422,
        "/problems/ambiguous-reference",
        "removed_relationships[1].source_reference",
    )
    assert problem["candidates"] == ["device", "user"]
    assert world.writer.batches == []


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        (
            removing(relationships=[{**TYPED, "source_type": "unknown"}]),
            "removed_relationships[0].source_type",
            "reserved-type",
        ),
        (
            removing(relationships=[{**TYPED, "relationship_type": ""}]),
            "removed_relationships[0].relationship_type",
            "empty-name",
        ),
        (
            removing(relationships=[{"source_reference": "a"}]),
            "removed_relationships[0].target_reference",
            "missing-field",
        ),
        (
            removing(properties=[{**PROPERTY, "type": "unknown"}]),
            "removed_properties[0].type",
            "reserved-type",
        ),
        (
            removing(properties=[{**PROPERTY, "field": "\0"}]),
            "removed_properties[0].field",
            "unstorable-text",
        ),
        (
            removing(properties=[{**PROPERTY, "reference_date": "soon"}]),
            "removed_properties[0].reference_date",
            "invalid-date",
        ),
        (removing(properties=[PROPERTY] * 6), "removed_properties", "too-many-items"),
        (
            json.dumps({"relationships": [TYPED], "removed_relationships": [TYPED]}),
            "removed_relationships[0]",
            "contradiction",
        ),
    ],
)
async def test_refusals(client: Client, world: World, body: str, field: str, code: str) -> None:
    status, problem = await post(client, body)
    assert (status, problem["field"], problem["code"]) == (422, field, code)
    assert world.writer.batches == []
    if code != "too-many-items":
        status, answer = await post(client, body, "/v1/graph/sync?dry_run=true")
        assert [(item["field"], item["code"]) for item in answer["refused"]] == [(field, code)]


async def test_a_dry_run_shows_what_would_be_removed(client: Client, world: World) -> None:
    row = PropertyRow("user", "a", "f", None, "2025-01-02T00:00:00.000000Z", DAY0)
    edge = RemovedEdge("user", "a", "org", "b", "knows")
    was = Stored(value="1", reference_date="2025-01-01T00:00:00.000000Z")
    hidden = Stored(value=None, reference_date="2025-01-03T00:00:00.000000Z")
    world.preview.found = Preview(
        properties=[
            Difference(row=row, outcome="removed", old=was),
            Difference(row=row._replace(field="g"), outcome="older", old=hidden),
        ],
        removed_edges=[
            Difference(row=edge, outcome="removed"),
            Difference(row=edge._replace(right_reference="c"), outcome="same"),
        ],
    )
    _, answer = await post(client, removing(properties=[PROPERTY]), "/v1/graph/sync?dry_run=true")
    ends = {
        "source_type": "user",
        "source_reference": "a",
        "target_type": "org",
        "relationship_type": "knows",
    }
    assert answer["removed"] == [
        {
            "kind": "property",
            "type": "user",
            "reference": "a",
            "field": "f",
            "old": {"value": 1, "reference_date": "2025-01-01T00:00:00.000000Z"},
            "new": {"removed": True, "reference_date": "2025-01-02T00:00:00.000000Z"},
        },
        {"kind": "relationship", **ends, "target_reference": "b"},
    ]
    assert answer["unchanged"] == [
        {
            "kind": "property",
            "type": "user",
            "reference": "a",
            "field": "g",
            "reason": "older",
            "old": {"removed": True, "reference_date": "2025-01-03T00:00:00.000000Z"},
        },
        {"kind": "relationship", **ends, "target_reference": "c", "reason": "same"},
    ]
    assert world.writer.batches == []
