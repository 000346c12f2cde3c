"""Writes: the rows that a body becomes, and what is refused."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from app.core.dates import to_text
from app.core.errors import InvalidError
from app.core.models import Batch, EdgeRow, EntityRow, PropertyRow, TemporalRow
from tests.seed_bodies import SEED_INGEST, SEED_SYNC
from tests.unit.web.bodies import (
    BAD_POINTS,
    BAD_SYNCS,
    JSON,
    TOLD_BY,
    entity,
    ingest,
    points_twice,
    post,
    related,
    related_twice,
    said_twice,
    set_and_removed,
)
from tests.unit.web.fakes import NOW, World
from web.application import build

Client = TestClient[Any, Any]
ACCEPTED = {"status": "sync request accepted for processing"}


async def test_syncs_the_example(client: Client, world: World) -> None:
    assert await post(client, SEED_SYNC) == (202, ACCEPTED)
    assert world.writer.batches == [
        Batch(
            entities=[EntityRow("user", "user-12345", NOW)],
            properties=[
                PropertyRow("user", "user-12345", "name", '"João Silva Updated"', to_text(NOW), NOW, TOLD_BY),
                PropertyRow("user", "user-12345", "status", '"premium"', to_text(NOW), NOW, TOLD_BY),
            ],
            edges=[
                EdgeRow(
                    "user",
                    "user-12345",
                    "unknown",
                    "subscription-premium",
                    "has_subscription",
                    None,
                    NOW,
                )
            ],
        )
    ]


async def test_ingests_the_example(client: Client, world: World) -> None:
    assert await post(client, SEED_INGEST, "/v1/temporal/ingest") == (202, ACCEPTED)
    ((row,),) = [batch.temporal for batch in world.writer.batches]
    assert row == TemporalRow(
        "user",
        "user-12345",
        "payment_metrics",
        "day",
        datetime(2025, 1, 15, tzinfo=UTC),
        "2025-01-15",
        datetime(2025, 1, 15, 23, 59, 59, tzinfo=UTC),
        0,
        row.value,
        NOW,
    )
    assert "2450.00" in row.value


@pytest.mark.parametrize(
    ("sent", "value", "date"),
    [
        ("12345678901234567890.123", "12345678901234567890.123", to_text(NOW)),
        ("1E400", "1E400", to_text(NOW)),
        ("null", "null", to_text(NOW)),
        (
            '{"value": 1.0, "reference_date": "2025-01-01T03:00:00+03:00"}',
            "1.0",
            "2025-01-01T00:00:00.000000Z",
        ),
        ('{"reference_date": "2025-01-01", "value": [1]}', "[1]", "2025-01-01T00:00:00.000000Z"),
        ('{"value": 1}', '{"value": 1}', to_text(NOW)),
        (
            '{"value": 1, "reference_date": "x", "more": 2}',
            '{"value": 1, "reference_date": "x", "more": 2}',
            to_text(NOW),
        ),
    ],
)
async def test_keeps_a_value_as_it_was_sent(
    client: Client, world: World, sent: str, value: str, date: str
) -> None:
    assert (await post(client, entity(f'{{"p": {sent}}}')))[0] == 202
    assert world.writer.batches[0].properties == [PropertyRow("user", "u", "p", value, date, NOW, TOLD_BY)]


async def test_a_plain_value_takes_the_date_of_its_entity(client: Client, world: World) -> None:
    body = (
        '{"entities": [{"reference": "u", "type": "user", "reference_date": "2024-02-29", "properties": '
        '{"a": 1, "b": {"value": 2, "reference_date": "2023-01-01"}}}]}'
    )
    assert (await post(client, body))[0] == 202
    assert [row.reference_date[:10] for row in world.writer.batches[0].properties] == [
        "2024-02-29",
        "2023-01-01",
    ]


@pytest.mark.parametrize(
    ("body", "types", "expected"),
    [
        (related(), {}, ("unknown", "unknown")),
        (related(), {"a": ["user"]}, ("user", "unknown")),
        (related(), {"a": ["unknown", "user"], "b": ["unknown"]}, ("user", "unknown")),
        (related(source_type="user", target_type="org"), {"a": ["x", "y"]}, ("user", "org")),
        (related(source_type="user"), {"b": ["org"]}, ("user", "org")),
    ],
)
async def test_resolves_references_without_type(
    client: Client, world: World, body: str, types: dict[str, list[str]], expected: tuple[str, str]
) -> None:
    world.directory.types = types
    assert (await post(client, body))[0] == 202
    (edge,) = world.writer.batches[0].edges
    assert (edge.left_type, edge.right_type) == expected


async def test_looks_up_only_what_has_no_type(client: Client, world: World) -> None:
    assert (await post(client, related(source_type="user", target_type="org")))[0] == 202
    assert world.directory.asked == []


async def test_an_ambiguous_reference_names_the_candidates(client: Client, world: World) -> None:
    world.directory.types = {"b": ["org", "user"]}
    status, problem = await post(client, related())
    assert (status, problem["type"]) == (422, "/problems/ambiguous-reference")
    assert problem["candidates"] == ["org", "user"]
    assert problem["field"] == "relationships[0].target_reference"
    assert world.writer.batches == []


async def test_the_requests_own_entities_count_as_candidates(client: Client, world: World) -> None:
    world.directory.types = {"u": ["org"]}
    body = (
        '{"entities": [{"reference": "u", "type": "user"}], "relationships": '
        '[{"source_reference": "u", "target_reference": "v", "relationship_type": "knows"}]}'
    )
    status, problem = await post(client, body)
    assert (status, problem["candidates"]) == (422, ["org", "user"])


@pytest.mark.parametrize(("metadata", "kept"), [('{"a": 1.0}', '{"a": 1.0}'), ("null", None), ("{}", "{}")])
async def test_keeps_metadata(client: Client, world: World, metadata: str, kept: str | None) -> None:
    body = related(metadata=0).replace('"metadata": 0', f'"metadata": {metadata}')
    assert (await post(client, body))[0] == 202
    (edge,) = world.writer.batches[0].edges
    assert (edge.metadata, edge.told_at) == (kept, NOW)


@pytest.mark.parametrize(
    ("body", "field", "code"),
    BAD_SYNCS,
)
async def test_refuses_bad_content_by_its_path(
    client: Client, world: World, body: str, field: str | None, code: str
) -> None:
    status, problem = await post(client, body)
    assert (status, problem.get("field"), problem.get("code")) == (422, field, code)
    assert problem["type"] == "/problems/invalid-content"
    assert world.writer.batches == []


@pytest.mark.parametrize(
    ("body", "meant"),
    [
        ('{"entities": [{"type": "user", "reference": "u", "propertys": {}}]}', "properties"),
        (
            '{"entities": [{"type": "user", "reference": "u", "referenceDate": "2025-01-01"}]}',
            "reference_date",
        ),
        (related(sourceType="user"), "source_type"),
        ('{"Relationships": []}', "relationships"),
        ('{"removed_property": []}', "removed_properties"),
    ],
)
async def test_an_unknown_name_is_answered_with_the_one_that_is_meant(
    client: Client, body: str, meant: str
) -> None:
    _, problem = await post(client, body)
    assert f"did you mean {meant}?" in problem["detail"]


@pytest.mark.parametrize(
    ("body", "path", "names"),
    [
        (said_twice('{"age": 9}', '{"age": 10}'), "/v1/graph/sync", ["'age'", "user/u", "entities[0]"]),
        (set_and_removed(), "/v1/graph/sync", ["'age'", "user/u", "entities[0]"]),
        (related_twice({"a": 1}, {"a": 2}), "/v1/graph/sync", ["unknown/a knows unknown/b"]),
        (points_twice(9, 10), "/v1/temporal/ingest", ["'payment_metrics'", "user/user-12345", "2025-01-15"]),
    ],
)
async def test_a_contradiction_names_what_it_is_about(
    client: Client, world: World, body: str, path: str, names: list[str]
) -> None:
    status, problem = await post(client, body, path)
    assert (status, problem["code"], world.writer.batches) == (422, "contradiction", [])
    assert [name for name in names if name not in problem["detail"]] == []
    _, answer = await post(client, body, f"{path}?dry_run=true")
    assert [(item["field"], item["detail"]) for item in answer["refused"]] == [
        (problem["field"], problem["detail"])
    ]


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (said_twice('{"age": 9}', '{"age": 9}'), "/v1/graph/sync"),
        (
            said_twice('{"age": 9}', '{"age": {"value": 10, "reference_date": "2025-01-01"}}'),
            "/v1/graph/sync",
        ),
        (set_and_removed(removed_at="2025-01-01"), "/v1/graph/sync"),
        (related_twice({"a": 1}, {"a": 1}), "/v1/graph/sync"),
        (related_twice({"a": 1}, None), "/v1/graph/sync"),
        (entity('{"a": {"x": 1, "x": 2}}'), "/v1/graph/sync"),
        (points_twice(9, 9), "/v1/temporal/ingest"),
        (points_twice(9, 10, version=1), "/v1/temporal/ingest"),
    ],
)
async def test_the_same_twice_and_other_dates_are_no_contradiction(
    client: Client, body: str, path: str
) -> None:
    assert (await post(client, body, path))[0] == 202


@pytest.mark.parametrize(
    ("change", "field"),
    BAD_POINTS,
)
async def test_refuses_a_bad_data_point(
    client: Client, world: World, change: dict[str, object], field: str
) -> None:
    status, problem = await post(client, ingest(**change), "/v1/temporal/ingest")
    assert (status, problem["field"]) == (422, f"data_points[0].{field}")
    assert world.writer.batches == []


async def test_a_data_point_needs_a_value(client: Client) -> None:
    point = json.loads(SEED_INGEST)["data_points"][0]
    del point["value"]
    status, problem = await post(client, json.dumps({"data_points": [point]}), "/v1/temporal/ingest")
    assert (status, problem["field"]) == (422, "data_points[0].value")


async def test_limits_data_points(client: Client) -> None:
    points = json.loads(SEED_INGEST)["data_points"] * 6
    status, problem = await post(client, json.dumps({"data_points": points}), "/v1/temporal/ingest")
    assert (status, problem["field"], problem["code"]) == (422, "data_points", "too-many-items")


async def test_version_and_alias_reach_the_row(client: Client, world: World) -> None:
    body = ingest(version=10**12 + 3, granularity="quarterly")
    assert (await post(client, body, "/v1/temporal/ingest"))[0] == 202
    (row,) = world.writer.batches[0].temporal
    assert (row.version, row.granularity, row.period) == (10**12 + 3, "quarter", "2025-Q1")


@pytest.mark.parametrize("body", ['{"entities": [], "relationships": []}', '{"entities": []}'])
async def test_an_empty_request_writes_nothing(client: Client, world: World, body: str) -> None:
    assert await post(client, body) == (202, ACCEPTED)
    assert world.writer.batches == []


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "{]",
        "]",
        '{"entities": [],}',
        '{"entities": [1 2]}',
        "{'entities': []}",
        '{"a": "\n"}',
        b"\xff",
        b'{"a": "\xff"}',
    ],
)
async def test_refuses_what_is_not_json(client: Client, body: str | bytes) -> None:
    status, problem = await post(client, body)
    assert (status, problem["type"]) == (400, "/problems/malformed-request")


@pytest.mark.parametrize("path", ["/v1/graph/sync", "/v1/temporal/ingest", "/v1/graph/batch"])
@pytest.mark.parametrize(
    "content_type",
    [None, "text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1"],
)
async def test_wants_json_declared(client: Client, path: str, content_type: str | None) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    skip = ["Content-Type"] if content_type is None else []
    response = await client.post(path, data=b"{}", headers=headers, skip_auto_headers=skip)
    problem = await response.json(content_type=None)
    assert (response.status, problem["type"]) == (415, "/problems/unsupported-media-type")


async def test_takes_json_with_a_charset(client: Client) -> None:
    response = await client.post(
        "/v1/graph/sync",
        data=SEED_SYNC.encode(),
        headers={"Content-Type": "application/json; charset=UTF-8"},
    )
    assert response.status == 202


@pytest.mark.parametrize("chunked", [False, True])
async def test_limits_the_body(client: Client, chunked: bool) -> None:
    async def pieces() -> Any:
        for _ in range(5):
            yield b" " * 1000

    data = pieces() if chunked else b" " * 5000
    response = await client.post("/v1/graph/sync", data=data, headers=JSON)
    problem = await response.json(content_type=None)
    assert (response.status, problem["type"]) == (413, "/problems/content-too-large")


async def test_a_refusal_by_the_database_is_a_422(client: Client, world: World) -> None:
    world.writer.error = InvalidError("The value of a field is not storable.", code="refused")
    status, problem = await post(client, SEED_SYNC)
    assert (status, problem["code"]) == (422, "refused")


async def test_large_bodies_are_parsed_too(aiohttp_client: Any, world: World, web_settings: Any) -> None:
    settings = web_settings.model_copy(update={"web_max_body_bytes": 10**6, "max_value_bytes": 10**6})
    client = await aiohttp_client(build(world.services(), settings))
    value = "x" * 100_000
    assert (await post(client, entity(f'{{"p": "{value}"}}')))[0] == 202
    assert world.writer.batches[0].properties[0].value == f'"{value}"'
