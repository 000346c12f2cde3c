"""Dry runs: what would change is answered, item by item, and nothing is written."""

import asyncio
import json
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from app.core.dates import to_text
from app.core.errors import InvalidError, TransientError
from app.core.models import Batch, EdgeRow, EntityKey, EntityRow, PropertyRow
from app.core.preview import Difference, Preview, Stored
from tests.rows import DAY0, at, edge, point, prop, user
from tests.seed_bodies import SEED_INGEST, SEED_SYNC
from tests.unit.web.bodies import BAD_POINTS, BAD_SYNCS, JSON, TOLD_BY, entity, ingest, post, related
from tests.unit.web.fakes import NOW, World

Client = TestClient[Any, Any]

SYNC = "/v1/graph/sync?dry_run=true"
INGEST = "/v1/temporal/ingest?dry_run=true"
MALFORMED = [
    "",
    "{",
    '{"entities": [],}',
    '{"entities": [{"reference": "\\q"}]}',
    '{"data_points": [1 2]}',
    b"\xff",
]
# The parser takes none of these, though a person would see items in them.
UNREADABLE = [
    body for body, *_ in BAD_SYNCS if any(part in body for part in ("NaN", "Infinity", "\\ud", "[" * 1500))
]
WHOLE = [
    "{}",
    "[]",
    '"x"',
    '{"entities": {}}',
    '{"entities": [], "entities": []}',
    '{"entitys": [], "entities": []}',
    '{"data_points": 5}',
    entity('{"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}'),
    json.dumps({"data_points": json.loads(SEED_INGEST)["data_points"] * 6}),
    *UNREADABLE,
]


def fault(item: dict[str, Any]) -> tuple[Any, ...]:
    return item.get("field"), item["code"], item["detail"], item.get("candidates")


async def test_previews_the_batch_that_the_write_would_write(client: Client, world: World) -> None:
    for path, body in (("/v1/graph/sync", SEED_SYNC), ("/v1/temporal/ingest", SEED_INGEST)):
        status, answer = await post(client, body, f"{path}?dry_run=true")
        assert (status, answer["dry_run"], answer["refused"]) == (200, True, [])
        assert world.writer.batches == []
        await post(client, body, path)
        assert world.preview.batches == world.writer.batches
        world.preview.batches.clear()
        world.writer.batches.clear()


async def test_says_what_would_change(client: Client, world: World) -> None:
    old = Stored(value='{"a": 12345678901234567890.10}', reference_date=to_text(DAY0))
    world.preview.found = Preview(
        entities=[
            Difference(row=user("a"), outcome="created"),
            Difference(row=EntityKey("org", "o"), outcome="same"),
        ],
        properties=[
            Difference(row=prop("a", "f", '{"a":1E400}', 1), outcome="changed", old=old),
            Difference(row=prop("a", "g", "1"), outcome="older", old=old),
        ],
        edges=[
            Difference(row=edge("a", "b", metadata='{ "x":1.0}', seconds=2), outcome="created"),
            Difference(row=edge("a", "c"), outcome="created"),
        ],
        temporal=[
            Difference(
                row=point("a", "k", "2.50", date=at(3), version=4),
                outcome="changed",
                old=Stored(value="2.5", reference_date=to_text(at(3)), version=3),
            )
        ],
    )
    response = await client.post(SYNC, data=SEED_SYNC.encode(), headers=JSON)
    assert (response.status, response.content_type) == (200, "application/json")
    assert response.headers["Cache-Control"] == "no-store"
    to_b, to_c = (
        '"kind":"relationship","source_type":"user","source_reference":"a",'
        f'"target_type":"user","target_reference":"{target}","relationship_type":"knows"'
        for target in "bc"
    )
    assert await response.text() == (
        '{"dry_run":true,"created":[{"kind":"entity","type":"user","reference":"a"},'
        f'{{{to_b},"new":{{"value":{{ "x":1.0}},"reference_date":"2025-01-15T10:30:02.000000Z"}}}},'
        f"{{{to_c}}}"
        '],"changed":[{"kind":"property","type":"user","reference":"a","field":"f",'
        '"old":{"value":{"a": 12345678901234567890.10},"reference_date":"2025-01-15T10:30:00.000000Z"},'
        '"new":{"value":{"a":1E400},"reference_date":"2025-01-15T10:30:01.000000Z"}},'
        '{"kind":"temporal","entity_type":"user","entity_reference":"a","key":"k","granularity":"month",'
        '"period":"2025-01",'
        '"old":{"value":2.5,"reference_date":"2025-01-15T10:30:03.000000Z","version":3},'
        '"new":{"value":2.50,"reference_date":"2025-01-15T10:30:03.000000Z","version":4}}'
        '],"removed":[],"unchanged":[{"kind":"entity","type":"org","reference":"o","reason":"same"},'
        '{"kind":"property","type":"user","reference":"a","field":"g","reason":"older",'
        '"old":{"value":{"a": 12345678901234567890.10},"reference_date":"2025-01-15T10:30:00.000000Z"}}'
        '],"refused":[]}'
    )


@pytest.mark.parametrize("body", [body for body, *_ in BAD_SYNCS if body not in WHOLE])
async def test_refuses_an_item_with_the_words_of_the_write(client: Client, world: World, body: str) -> None:
    _, problem = await post(client, body)
    status, answer = await post(client, body, SYNC)
    assert (status, [fault(item) for item in answer["refused"]]) == (200, [fault(problem)])
    kinds = ["relationship"] if "relationships" in body else ["entity", "property"]
    assert answer["refused"][0]["kind"] in kinds


@pytest.mark.parametrize("change", [change for change, _ in BAD_POINTS])
async def test_refuses_a_data_point_with_the_words_of_the_write(
    client: Client, change: dict[str, object]
) -> None:
    body = ingest(**change)
    _, problem = await post(client, body, "/v1/temporal/ingest")
    status, answer = await post(client, body, INGEST)
    assert (status, [fault(item) for item in answer["refused"]]) == (200, [fault(problem)])
    assert answer["refused"][0]["kind"] == "temporal"


@pytest.mark.parametrize("path", ["/v1/graph/sync", "/v1/temporal/ingest"])
@pytest.mark.parametrize("body", MALFORMED + WHOLE)
async def test_what_is_wrong_as_a_whole_is_the_same_problem(
    client: Client, world: World, path: str, body: str | bytes
) -> None:
    answers = [await post(client, body, f"{path}{query}") for query in ("", "?dry_run=true")]
    for _, answer in answers:
        del answer["request_id"]
        if answer["status"] == 400:
            del answer["detail"]  # it may count bytes in another way
    assert answers[0] == answers[1]
    assert answers[0][0] in (400, 422)
    assert (world.preview.batches, world.writer.batches) == ([], [])


async def test_refused_items_do_not_stop_the_others(client: Client, world: World) -> None:
    world.directory.types = {"x": ["org", "user"]}
    bad_entity = {"reference": "", "type": "user", "properties": {"lost": 1}}
    good = {"reference": "u", "type": "user", "properties": {"good": 1, "": 2}}
    knows = {"source_reference": "u", "relationship_type": "knows"}
    body = json.dumps({"entities": [bad_entity, good], "relationships": []})
    _, answer = await post(client, body, SYNC)
    assert [(item["kind"], item["field"]) for item in answer["refused"]] == [
        ("entity", "entities[0].reference"),
        ("property", 'entities[1].properties[""]'),
    ]
    body = json.dumps(
        {
            "entities": [],
            "relationships": [
                {"source_reference": 5},
                {**knows, "target_reference": "x"},
                {**knows, "target_reference": ""},
                {**knows, "target_reference": "v"},
            ],
        }
    )
    _, answer = await post(client, body, SYNC)
    assert [(item["field"], item.get("candidates")) for item in answer["refused"]] == [
        ("relationships[0].source_reference", None),
        ("relationships[2].target_reference", None),
        ("relationships[1].target_reference", ["org", "user"]),
    ]
    assert world.preview.batches == [
        Batch(
            entities=[EntityRow("user", "u", NOW)],
            properties=[PropertyRow("user", "u", "good", "1", to_text(NOW), NOW, TOLD_BY)],
        ),
        Batch(edges=[EdgeRow("unknown", "u", "unknown", "v", "knows", None, NOW)]),
    ]


async def test_refuses_items_in_their_order(client: Client) -> None:
    ends = {"reference": "u", "type": "user"}
    body = json.dumps({"entities": [{**ends, "type": ""}, {"type": 5}, {**ends, "reference": ""}, [], ends]})
    _, answer = await post(client, body, SYNC)
    assert [item["field"] for item in answer["refused"]] == [
        "entities[0].type",
        "entities[1].type",
        "entities[2].reference",
        "entities[3]",
    ]
    assert answer["created"] == [{"kind": "entity", "type": "user", "reference": "u"}]


@pytest.mark.parametrize("body", ['{"entities": []}', entity("[]"), related(source_type="")])
async def test_asks_nothing_about_nothing(client: Client, world: World, body: str) -> None:
    status, answer = await post(client, body, SYNC)
    assert (status, answer["created"], world.preview.batches) == (200, [], [])


@pytest.mark.parametrize("path", ["/v1/graph/sync", "/v1/temporal/ingest"])
@pytest.mark.parametrize("query", ["=", "=yes", "=1", "=TRUE", "=true&dry_run=true", ""])
async def test_wants_true_or_false(client: Client, world: World, path: str, query: str) -> None:
    status, problem = await post(client, SEED_SYNC, f"{path}?dry_run{query}")
    assert (status, problem["type"]) == (400, "/problems/invalid-parameter")
    assert problem["parameter"] == "dry_run"
    assert world.writer.batches == []


@pytest.mark.parametrize("name", ["dryRun", "dry-run", "dryrun", "DRY_RUN"])
async def test_a_slip_in_its_name_writes_nothing(client: Client, world: World, name: str) -> None:
    status, problem = await post(client, SEED_SYNC, f"/v1/graph/sync?{name}=true")
    assert (status, problem["parameter"], world.writer.batches) == (400, name, [])
    assert "did you mean dry_run?" in problem["detail"]


@pytest.mark.parametrize("query", ["?dry_run=false", "?trace=1", "?dry_run=false&trace=1"])
async def test_writes_without_a_dry_run(client: Client, world: World, query: str) -> None:
    assert (await post(client, SEED_SYNC, f"/v1/graph/sync{query}"))[0] == 202
    assert (len(world.writer.batches), world.preview.batches) == (1, [])


@pytest.mark.parametrize(
    ("error", "status", "name"),
    [
        (InvalidError("It can't be stored: …", code="refused-22003"), 422, "invalid-content"),
        (TransientError("down"), 503, "unavailable"),
    ],
)
async def test_failures_of_the_database_are_those_of_the_write(
    client: Client, world: World, error: Exception, status: int, name: str
) -> None:
    world.preview.error = error
    answer = await post(client, SEED_SYNC, SYNC)
    assert (answer[0], answer[1]["type"]) == (status, f"/problems/{name}")


async def test_an_entity_that_would_hold_too_much_is_refused_by_name_in_both(
    client: Client, world: World
) -> None:
    def too_many() -> InvalidError:
        return InvalidError("user/v would have …", code="too-many-properties", entity=("user", "v"))

    v = {"reference": "v", "type": "user", "properties": {"b": 2}}
    body = json.dumps({"entities": [{"reference": "u", "type": "user", "properties": {"a": 1}}, v]})
    world.writer.error = too_many()
    world.preview.found = Preview(
        entities=[Difference(row=user("u"), outcome="created")], refused=[(user("v"), too_many())]
    )
    status, problem = await post(client, body)
    assert (status, problem["field"]) == (422, "entities[1].properties")
    _, answer = await post(client, body, SYNC)
    assert [fault(item) for item in answer["refused"]] == [fault(problem)]
    assert answer["refused"][0]["kind"] == "entity"
    assert [item["reference"] for item in answer["created"]] == ["u"]


async def test_is_bounded_in_size_and_time(client: Client, world: World) -> None:
    assert (await post(client, " " * 5000, SYNC))[0] == 413
    world.preview.delay_s = 5
    async with asyncio.timeout(2):
        assert (await post(client, SEED_SYNC, SYNC))[0] == 504
