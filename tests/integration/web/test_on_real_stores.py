"""The whole HTTP surface on PostgreSQL and Redis: what is written is read back."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from yarl import URL

from app.config.settings import Settings
from storage.stores import Stores
from tests.integration.web.serving import serving
from tests.seed_bodies import SEED_INGEST, SEED_SYNC

pytestmark = pytest.mark.integration

Client = TestClient[Any, Any]

ACCEPTED = {"status": "sync request accepted for processing"}


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[Client]:
    async with serving(settings) as served:
        yield served.client


async def post(client: Client, path: str, body: str) -> tuple[int, Any]:
    response = await client.post(path, data=body.encode(), headers={"Content-Type": "application/json"})
    return response.status, await response.json(content_type=None)


async def get(client: Client, path: str) -> tuple[int, Any]:
    response = await client.get(path)
    return response.status, await response.json(content_type=None)


def relation(source: str, target: str) -> str:
    return (
        f'{{"source_reference": "{source}", "source_type": "node", "target_reference": "{target}", '
        '"target_type": "node", "relationship_type": "next"}'
    )


async def test_reads_its_own_write(client: Client) -> None:
    assert await post(client, "/v1/graph/sync", SEED_SYNC) == (202, ACCEPTED)
    assert await post(client, "/v1/temporal/ingest", SEED_INGEST) == (202, ACCEPTED)

    status, tree = await get(client, "/v1/graph/by-reference/user/user-12345")
    assert status == 200
    assert {name: stored["value"] for name, stored in tree["properties"].items()} == {
        "name": "João Silva Updated",
        "status": "premium",
    }
    ((edge),) = tree["edges"]
    assert (edge["type"], edge["entity"]["type"], edge["entity"]["reference"]) == (
        "has_subscription",
        "unknown",
        "subscription-premium",
    )
    ((point),) = tree["temporal_data"]["payment_metrics"]
    assert point["value"] == {"transactions": 5, "total_amount": 2450.0, "average_ticket": 490.0}
    assert (point["granularity"], point["reference_date"][:19]) == ("day", "2025-01-15T23:59:59")

    assert (await get(client, f"/v1/graph/{tree['id']}")) == (200, tree)
    assert (await get(client, "/v1/graph/by-property/status/value/premium")) == (200, [tree])
    _, since = await get(client, f"/v1/graph/{tree['id']}?period=2025-02-01T00:00:00Z")
    assert not (since["temporal_data"] or {}).get("payment_metrics")
    _, batch = await post(client, "/v1/graph/batch", f'{{"entity_ids": [{tree["id"]}, 999999999]}}')
    assert batch == [tree, None]


async def test_a_later_write_is_seen_at_once_though_the_answer_was_cached(client: Client) -> None:
    for number in range(5):
        body = (
            f'{{"entities": [{{"reference": "u", "type": "user", "properties": {{"count": {number}.0}}}}]}}'
        )
        assert (await post(client, "/v1/graph/sync", body))[0] == 202
        for _ in range(2):
            response = await client.get("/v1/graph/by-reference/user/u")
            assert f'"value":{number}.0' in (await response.text()).replace(" ", "")
            assert response.headers["Cache-Status"].startswith("user-profile; ")
        _, found = await get(client, f"/v1/graph/by-property/count/value/{number}.0")
        assert len(found) == 1
        _, gone = await get(client, f"/v1/graph/by-property/count/value/{number + 10}")
        assert gone == []


async def test_a_cycle_ends(client: Client) -> None:
    body = f'{{"relationships": [{relation("a", "b")}, {relation("b", "a")}]}}'
    assert (await post(client, "/v1/graph/sync", body))[0] == 202
    status, tree = await get(client, "/v1/graph/by-reference/node/a?depth=10")
    assert status == 200
    (second,) = tree["edges"]
    (again,) = second["entity"]["edges"]
    assert again["entity"] == {"id": tree["id"], "type": "node", "reference": "a", "repeated": True}


async def test_an_ambiguous_reference_writes_nothing(client: Client) -> None:
    both = '{"entities": [{"reference": "x", "type": "user"}, {"reference": "x", "type": "organization"}]}'
    assert (await post(client, "/v1/graph/sync", both))[0] == 202
    body = (
        '{"entities": [{"reference": "y", "type": "user"}], "relationships": [{"source_reference": "y", '
        '"target_reference": "x", "relationship_type": "knows"}]}'
    )
    status, problem = await post(client, "/v1/graph/sync", body)
    assert (status, problem["candidates"]) == (422, ["organization", "user"])
    assert (await get(client, "/v1/graph/by-reference/user/y"))[0] == 404


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/graph/999999999", 404),
        ("/v1/graph/1?depth=11", 400),
        ("/v1/graph/abc", 400),
        ("/v1/graph/1?period=soon", 400),
        ("/v1/graph/by-reference/user/nobody", 404),
    ],
)
async def test_answers_problems(client: Client, path: str, status: int) -> None:
    response = await client.get(path)
    assert (response.status, response.content_type) == (status, "application/problem+json")


async def test_pages_lead_to_every_entity_once(client: Client) -> None:
    entities = ", ".join(
        f'{{"reference": "p{n}", "type": "user", "properties": {{"dept": "R&D/São Paulo"}}}}'
        for n in range(7)
    )
    assert (await post(client, "/v1/graph/sync", f'{{"entities": [{entities}]}}'))[0] == 202
    seen: list[str] = []
    path = "/v1/graph/by-property/dept/value/R%26D%2FS%C3%A3o%20Paulo?limit=3&depth=1"
    while path:
        response = await client.get(URL(path, encoded=True))
        assert response.status == 200
        seen += [tree["reference"] for tree in await response.json()]
        path = response.headers.get("Link", "").partition("<")[2].partition(">")[0]
    assert seen == [f"p{n}" for n in range(7)]


async def test_concurrent_writes_and_reads_agree(client: Client) -> None:
    async def one(number: int) -> None:
        body = (
            '{"entities": [{"reference": "same", "type": "user", "properties": '
            f'{{"f{number}": {number}}}}}]}}'
        )
        assert (await post(client, "/v1/graph/sync", body))[0] == 202
        _, tree = await get(client, "/v1/graph/by-reference/user/same")
        assert tree["properties"][f"f{number}"]["value"] == number

    await asyncio.gather(*map(one, range(20)))


async def test_concurrent_requests_share_a_transaction_and_one_that_is_refused_harms_no_other(
    client: Client, db: Any
) -> None:
    beyond_numeric = "9" * 140_000  # JSON, and within our limits; PostgreSQL's numeric ends at 131,072 digits

    async def one(number: int) -> tuple[int, Any]:
        value = beyond_numeric if number == 31 else str(number)
        body = (
            f'{{"entities": [{{"reference": "u{number}", "type": "user", "properties": {{"f": {value}}}}}], '
            f'"relationships": [{relation(f"u{number}", "hub")}]}}'
        )
        return await post(client, "/v1/graph/sync", body)

    answers = await asyncio.gather(*map(one, range(50)))
    assert [n for n, (status, _) in enumerate(answers) if status != 202] == [31]
    status, problem = answers[31]
    assert (status, problem["code"]) == (422, "refused-22003")
    accepted = {f"u{n}" for n in range(50)} - {"u31"}
    stored = await db.fetch("SELECT reference, xmin::text FROM entities WHERE type = 'user'")
    assert {row["reference"] for row in stored} == accepted
    assert await db.fetchval("SELECT count(*) FROM edges") == len(accepted)
    assert len({row["xmin"] for row in stored}) < len(accepted)


async def test_ready_on_a_running_stack(client: Client) -> None:
    status, body = await get(client, "/readyz")
    assert (status, body["status"]) == (200, "ready"), body
    assert body["dependencies"]


DRY_RUNS_BEFORE = """{"entities": [
  {"reference": "x", "type": "org"},
  {"reference": "u", "type": "user", "reference_date": "2025-01-02", "properties": {
    "newer": {"value": 0.10, "reference_date": "2025-01-01"}, "older": {"value": 1, "reference_date": "2025-01-03"},
    "greater": "b", "smaller": "z", "same": {"a": 1.0}}}]}"""

DRY_RUN = """{"entities": [
  {"reference": "u", "type": "user", "reference_date": "2025-01-02", "properties": {"new": 1.50,
    "newer": {"b":1,"a":12345678901234567890.10}, "older": 2, "greater": "z", "smaller": "b", "same": {"a":1.0}}},
  {"reference": "x", "type": "user"}, {"reference": "", "type": "user"}],
 "relationships": [
  {"source_reference": "u", "target_reference": "v", "relationship_type": "knows"},
  {"source_reference": "u", "target_reference": "x", "relationship_type": "knows"}]}"""

WITHOUT_THE_REFUSED = DRY_RUN.replace(', {"reference": "", "type": "user"}', "").replace(
    ',\n  {"source_reference": "u", "target_reference": "x", "relationship_type": "knows"}', ""
)


def identities(answer: Any) -> dict[str, list[tuple[str, str]]]:
    """The kind of each item, and the last member that identifies it."""
    names = ("reason", "old", "new", "code", "detail", "candidates")
    return {
        each: [
            (item["kind"], [value for name, value in item.items() if name not in names][-1])
            for item in answer[each]
        ]
        for each in ("created", "changed", "unchanged", "refused")
    }


async def all_rows(db: Any) -> list[Any]:
    """Row versions and sequences, which any write would move."""
    found: list[Any] = await db.fetch(
        "SELECT 'entity' AS what, xmin::text AS version, id FROM entities UNION ALL "
        "SELECT 'edge', xmin::text, id FROM edges UNION ALL "
        "SELECT 'temporal', xmin::text, entity_id FROM temporal_properties UNION ALL "
        "SELECT sequencename, '', last_value FROM pg_sequences WHERE schemaname = 'public' ORDER BY 1, 3, 2"
    )
    return found


async def test_a_dry_run_says_what_the_write_does_and_writes_nothing(client: Client, db: Any) -> None:
    assert (await post(client, "/v1/graph/sync", DRY_RUNS_BEFORE))[0] == 202
    before = await all_rows(db)

    response = await client.post(
        "/v1/graph/sync?dry_run=true", data=DRY_RUN, headers={"Content-Type": "application/json"}
    )
    assert response.status == 200
    text, answer = await response.text(), await response.json()
    assert await all_rows(db) == before
    assert identities(answer) == {
        "created": [
            ("entity", "v"),
            ("entity", "x"),
            ("property", "new"),
            ("relationship", "knows"),
        ],
        "changed": [("property", "greater"), ("property", "newer")],
        "unchanged": [("entity", "u"), ("property", "older"), ("property", "same"), ("property", "smaller")],
        "refused": [
            ("entity", "entities[2].reference"),
            ("relationship", "relationships[1].target_reference"),
        ],
    }
    assert [item.get("reason") for item in answer["unchanged"]] == ["same", "older", "same", "older"]
    assert answer["refused"][1]["candidates"] == ["org", "user"]
    date = '"reference_date":"2025-01-0{}T00:00:00.000000Z"'.format
    assert f'"field":"new","new":{{"value":1.50,{date(2)}}}' in text
    assert (
        f'"old":{{"value":0.10,{date(1)}}},"new":{{"value":{{"b":1,"a":12345678901234567890.10}},{date(2)}}}'
        in text
    )

    assert (await post(client, "/v1/graph/sync", WITHOUT_THE_REFUSED))[0] == 202
    _, tree = await get(client, "/v1/graph/by-reference/user/u")
    for item in answer["changed"]:
        assert tree["properties"][item["field"]] == item["new"]
    for item in answer["unchanged"]:
        if item["kind"] == "property":
            assert tree["properties"][item["field"]] == item["old"]
    _, again = await post(client, "/v1/graph/sync?dry_run=true", WITHOUT_THE_REFUSED)
    assert (again["created"], again["changed"], again["refused"]) == ([], [], [])


async def test_a_dry_run_of_data_points(client: Client, db: Any) -> None:
    def body(*points: tuple[str, str, int, str]) -> str:
        return json.dumps(
            {
                "data_points": [
                    {
                        "entity_reference": "u",
                        "entity_type": "user",
                        "key": key,
                        "granularity": "daily",
                        "reference_date": f"2025-01-15T{hour}:00:00Z",
                        "version": version,
                        "value": {"total": value},
                    }
                    for key, hour, version, value in points
                ]
            }
        )

    path = "/v1/temporal/ingest?dry_run=true"
    stored = [
        (key, "12", 1, "m") for key in ("newer", "older", "higher", "lower", "greater", "smaller", "same")
    ]
    assert (await post(client, path, body(*stored)))[1]["created"][0] == {
        "kind": "entity",
        "type": "user",
        "reference": "u",
    }
    assert (await get(client, "/v1/graph/by-reference/user/u"))[0] == 404
    assert (await post(client, "/v1/temporal/ingest", body(*stored)))[0] == 202
    before = await all_rows(db)
    points = [
        ("new", "12", 1, "m"),
        ("newer", "13", 0, "m"),
        ("older", "11", 2, "m"),
        ("higher", "12", 2, "a"),
        ("lower", "12", 0, "z"),
        ("greater", "12", 1, "z"),
        ("smaller", "12", 1, "a"),
        ("same", "12", 1, "m"),
        ("", "12", 1, "m"),
    ]
    status, answer = await post(client, path, body(*points))
    assert (status, await all_rows(db)) == (200, before)
    outcomes = {item["key"]: each for each in ("created", "changed") for item in answer[each]}
    outcomes |= {item["key"]: item["reason"] for item in answer["unchanged"]}
    assert outcomes == {
        "new": "created",
        "newer": "changed",
        "older": "older",
        "higher": "changed",
        "lower": "older",
        "greater": "changed",
        "smaller": "older",
        "same": "same",
    }
    assert [item["field"] for item in answer["refused"]] == ["data_points[8].key"]
    assert (await post(client, "/v1/temporal/ingest", body(*points[:-1])))[0] == 202
    _, again = await post(client, path, body(*points))
    assert (again["created"], again["changed"], len(again["unchanged"])) == ([], [], 8)
    _, tree = await get(client, "/v1/graph/by-reference/user/u")
    for item in answer["changed"]:
        ((point),) = tree["temporal_data"][item["key"]]
        assert (point["value"], point["reference_date"]) == (
            item["new"]["value"],
            item["new"]["reference_date"],
        )


async def test_a_selection_of_a_tree(client: Client) -> None:
    assert await post(client, "/v1/graph/sync", SEED_SYNC) == (202, ACCEPTED)
    assert await post(client, "/v1/temporal/ingest", SEED_INGEST) == (202, ACCEPTED)
    path = "/v1/graph/by-reference/user/user-12345"
    _, whole = await get(client, path)
    tags = set()
    for query, expected in [
        ("fields=name,edges", {"properties", "edges"}),
        ("fields=status", {"properties"}),
        ("fields=temporal_data.payment_metrics", {"temporal_data"}),
    ]:
        response = await client.get(f"{path}?{query}")
        tree = await response.json()
        assert tree.keys() == {"id", "type", "reference"} | expected
        for member in expected - {"properties", "edges"}:
            assert tree[member] == whole[member]
        again = await client.get(f"{path}?{query}", headers={"If-None-Match": response.headers["ETag"]})
        assert (again.status, await again.read()) == (304, b"")
        tags.add(response.headers["ETag"])
    assert len(tags) == 3
    _, named = await get(client, f"{path}?fields=name")
    assert named["properties"] == {"name": whole["properties"]["name"]}
    _, none = await get(client, f"{path}?types=owns")
    assert none == {**whole, "edges": []}
    for as_of, shown in [("2025-01-14", None), ("2025-01-15", whole["temporal_data"])]:
        _, found = await get(client, f"/v1/graph/by-property/status/value/premium?as_of={as_of}")
        assert [tree["temporal_data"] for tree in found] == [shown]
    _, items = await post(
        client, "/v1/graph/batch?fields=status", f'{{"entity_ids": [{whole["id"]}, 999999999]}}'
    )
    assert items == [{**named, "properties": {"status": whole["properties"]["status"]}}, None]


async def test_entities_are_listed_page_by_page(client: Client) -> None:
    many = ", ".join(f'{{"reference": "u{n}", "type": "user"}}' for n in range(5))
    shop = '{"reference": "s", "type": "shop", "properties": {"n": 12345678901234567890.123}}'
    assert (await post(client, "/v1/graph/sync", f'{{"entities": [{many}, {shop}]}}'))[0] == 202
    for kind, references in [
        ("user", {f"u{n}" for n in range(5)}),
        (None, {*(f"u{n}" for n in range(5)), "s"}),
    ]:
        target: str | None = f"/v1/entities?limit=2{f'&type={kind}' if kind else ''}"
        seen = []
        while target is not None:
            response = await client.get(URL(target, encoded=True))
            assert response.status == 200
            page = await response.json()
            assert 0 < len(page) <= 2
            seen += page
            link = response.headers.get("Link")
            target = link and link.partition(">")[0][1:]
        assert {item["reference"] for item in seen} == references
        assert [item["id"] for item in seen] == sorted({item["id"] for item in seen})
    text = await (await client.get("/v1/entities?type=shop")).text()
    assert '"value": 12345678901234567890.123' in text
    assert await get(client, "/v1/entities?type=none") == (200, [])


async def test_a_merged_placeholders_id_leads_to_the_typed_entity(client: Client, settings: Settings) -> None:
    assert await post(client, "/v1/graph/sync", SEED_SYNC) == (202, ACCEPTED)
    _, tree = await get(client, "/v1/graph/by-reference/user/user-12345")
    placeholder = tree["edges"][0]["entity"]["id"]
    typed = '{"entities": [{"reference": "subscription-premium", "type": "subscription"}]}'
    assert (await post(client, "/v1/graph/sync", typed))[0] == 202
    stores = await Stores.open(settings.model_copy(update={"roles": []}))
    assert await stores.placeholders.merge() == 1
    await stores.close()

    response = await client.get(f"/v1/graph/{placeholder}?depth=1", allow_redirects=False)
    assert response.status == 301
    status, found = await get(client, response.headers["Location"])
    assert (status, found["type"], found["reference"]) == (200, "subscription", "subscription-premium")
    _, tree = await get(client, "/v1/graph/by-reference/user/user-12345")
    assert [edge["entity"]["id"] for edge in tree["edges"]] == [found["id"]]
    _, items = await post(client, "/v1/graph/batch", f'{{"entity_ids": [{placeholder}, {found["id"]}]}}')
    assert [item.get("moved_to", item["id"]) for item in items] == [found["id"], found["id"]]


async def test_names_with_dots_quotes_and_slashes_are_found_in_quotes(client: Client) -> None:
    def properties(value: str) -> dict[str, Any]:
        return {
            "utm.source": {"medium": value, "a.b": value},
            "utm": {"source": {"medium": "another"}},
            'say "hi".': value,
            "a/b.c": value,
            "amount": {"value": {"value": value}},
        }

    paths = (
        "%22utm.source%22.medium",
        "%22utm.source%22.value.medium",
        "%22utm.source%22.%22a.b%22",
        "%22say%20%5C%22hi%5C%22.%22",
        "%22a%2Fb.c%22",
        "amount.%22value%22.value",
    )
    for value, before in (("one", "none"), ("two", "one")):
        entity = {"reference": "u", "type": "user", "properties": properties(value)}
        sent = await client.post("/v1/graph/sync", json={"entities": [entity]})
        assert sent.status == 202
        for path in paths:
            for _ in range(2):
                _, found = await get(client, f"/v1/graph/by-property/{path}/value/{value}")
                assert [tree["reference"] for tree in found] == ["u"], path
                assert (await get(client, f"/v1/graph/by-property/{path}/value/{before}"))[1] == [], path
    assert (await get(client, "/v1/graph/by-property/utm.source.medium/value/two"))[1] == []
    assert len((await get(client, "/v1/graph/by-property/utm.source.medium/value/another"))[1]) == 1
