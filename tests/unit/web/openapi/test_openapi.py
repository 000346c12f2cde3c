"""The description: it says what the routes are, it is well-formed, and its examples are right."""

import json
from typing import Any

import jsonschema
import pytest
from aiohttp.test_utils import TestClient

from tests.seed_bodies import SEED_INGEST, SEED_SYNC
from tests.unit.web.bodies import JSON, entity, related
from tests.unit.web.fakes import World
from web import problems
from web.openapi import answers
from web.openapi.document import document, example_of
from web.openapi.examples import BODIES
from web.openapi.links import INDEX
from web.openapi.problem_examples import SHOWN
from web.services import GATE

Client = TestClient[Any, Any]

_METHODS = ("get", "post", "put", "delete", "patch")


def described() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(document())
    return found


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, operation)
        for path, item in described()["paths"].items()
        for method, operation in item.items()
    ]


async def test_each_route_is_described_and_nothing_else(client: Client) -> None:
    routed = set()
    for resource in client.app.router.resources():  # type: ignore[union-attr]
        methods = {route.method for route in resource}
        if "*" in methods:
            continue  # what no other route takes
        assert ("GET" in methods) == ("HEAD" in methods)
        routed |= {(resource.canonical, method.lower()) for method in methods - {"HEAD"}}
    assert routed == {(path, method) for path, method, _ in operations()}
    assert {method for _, method in routed} <= set(_METHODS)


def test_operations_have_names_of_their_own() -> None:
    ids = [operation["operationId"] for _, _, operation in operations()]
    assert len(ids) == len(set(ids))
    tags = {tag["name"] for tag in described()["tags"]}
    assert {tag for _, _, operation in operations() for tag in operation["tags"]} == tags


def test_parameters_of_the_path_are_those_of_the_template() -> None:
    for path, _, operation in operations():
        named = {part["name"] for part in operation["parameters"] if part.get("in") == "path"}
        assert named == {part.partition("}")[0] for part in path.split("{")[1:]}, path


def test_every_reference_leads_somewhere() -> None:
    whole = described()
    followed: set[str] = set()

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if isinstance(node.get("$ref"), str):
                found = whole
                for part in node["$ref"].removeprefix("#/").split("/"):
                    assert part in found, node["$ref"]
                    found = found[part]
                followed.add(node["$ref"])
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(whole)
    # None is described that nothing uses.
    schemas = {f"#/components/schemas/{name}" for name in whole["components"]["schemas"]}
    assert schemas <= followed


def test_schemas_are_schemas_and_hold_the_examples() -> None:
    whole = described()
    for schema in whole["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    for name, body in BODIES.items():
        jsonschema.Draft202012Validator({**whole, "$ref": f"#/components/schemas/{name}"}).validate(body)
    for _, _, operation in operations():
        for response in operation["responses"].values():
            for content in response.get("content", {}).values():
                examples = [example["value"] for example in content.get("examples", {}).values()]
                examples += [content["example"]] if "example" in content else []
                for example in examples:
                    # Members that a schema does not name would be a slip of either.
                    assert (
                        not isinstance(example, dict)
                        or "instance" not in example
                        or (example.keys() <= whole["components"]["schemas"]["Problem"]["properties"].keys())
                    )
                    jsonschema.Draft202012Validator({**whole, **content["schema"]}).validate(example)


def test_every_success_has_an_example() -> None:
    without = [
        (operation["operationId"], status, media_type)
        for _, _, operation in operations()
        for status, response in operation["responses"].items()
        if status < "400" or operation["operationId"] == "getReadiness"
        for media_type, content in response.get("content", {}).items()
        if "example" not in content and "examples" not in content
    ]
    assert without == []


def test_every_problem_has_words_of_its_own() -> None:
    assert SHOWN.keys() == problems.PROBLEMS.keys()


@pytest.mark.parametrize(
    ("name", "method", "path", "body", "headers"),
    [
        ("invalid-parameter", "GET", "/v1/graph/1?depth=11", "", {}),
        ("not-found", "GET", "/v1/graph/404", "", {}),
        ("cross-site", "DELETE", "/v1/graph/1", "", {"Sec-Fetch-Site": "cross-site"}),
        ("unknown-host", "GET", "/v1/graph/1", "", {"Host": "evil.example"}),
        ("expectation-failed", "GET", "/v1/graph/1", "", {"Expect": "x"}),
        ("method-not-allowed", "PUT", "/v1/graph/1", "", {}),
        ("merged", "DELETE", "/v1/graph/11396", "", {}),
        ("unsupported-media-type", "POST", "/v1/graph/sync", "{}", {"Content-Type": "text/plain"}),
        ("invalid-content", "POST", "/v1/graph/sync", entity('{"": 1}'), JSON),
        ("ambiguous-reference", "POST", "/v1/graph/sync", related(source_reference="acme"), JSON),
    ],
)
async def test_problems_are_shown_as_they_are(
    client: Client,
    world: World,
    *,
    name: str,
    method: str,
    path: str,
    body: str,
    headers: dict[str, str],
) -> None:
    world.entities.moved = {11396: 11402}
    world.directory.types = {"acme": ["company", "user"]}
    response = await client.request(
        method,
        path,
        data=body or None,
        headers={**headers, "X-Request-Id": "7c2458e3ebce6fedfc93a72565b86a05"},
    )
    told = await response.json(content_type=None)
    assert told == example_of(problems.PROBLEMS[name])


async def test_operations_are_shown_as_they_are(client: Client) -> None:
    for path, shown in [("/healthz", answers.ALIVE), ("/problems/not-found", answers.MEANING)]:
        assert await (await client.get(path)).json() == shown
    index = await (await client.get("/")).json()
    index.pop("page", None)  # it is not built here
    assert index == INDEX


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/v1/graph/{id}", "get"),
        ("/v1/graph/by-reference/{type}/{reference}", "get"),
        ("/v1/graph/by-property/{prop}/value/{value}", "get"),
        ("/v1/graph/batch", "post"),
        ("/v1/graph/{id}/watch", "get"),
    ],
)
def test_older_names_are_deprecated(path: str, methods: str) -> None:
    named = {part.get("name"): part for part in described()["paths"][path][methods]["parameters"]}
    assert named["depthLimit"]["deprecated"] is True
    assert "depth" in named
    assert path.endswith("/watch") or named["startTime"]["deprecated"] is True


async def test_pages_are_described_with_what_they_answer(client: Client) -> None:
    paths = described()["paths"]
    assert {"200", "304"} <= paths["/docs"]["get"]["responses"].keys()
    assert {"200", "304"} <= paths["/"]["get"]["responses"].keys()
    assert paths["/"]["get"]["responses"]["200"]["content"].keys() == {"application/json", "text/html"}
    first = await client.get("/docs")
    again = await client.get("/docs", headers={"If-None-Match": first.headers["ETag"]})
    assert again.status == 304
    for _, _, operation in operations():
        assert "417" in operation["responses"]


def test_the_examples_are_the_documented_bodies() -> None:
    assert BODIES["SyncIn"] == json.loads(SEED_SYNC)
    assert BODIES["IngestIn"] == json.loads(SEED_INGEST)


def test_every_problem_stands_at_an_operation() -> None:
    shown = {
        name
        for _, _, operation in operations()
        for response in operation["responses"].values()
        for content in response.get("content", {}).values()
        for name in content.get("examples", {})
    }
    # No method of an operation is refused where it is described.
    assert shown == problems.PROBLEMS.keys() - {"method-not-allowed"}


async def test_it_is_served(client: Client) -> None:
    response = await client.get("/openapi.json")
    assert (response.status, response.content_type) == (200, "application/json")
    assert await response.read() == document(is_open=True)  # as it is until there is a key
    again = await client.get("/openapi.json", headers={"If-None-Match": response.headers["ETag"]})
    assert (again.status, await again.read()) == (304, b"")


async def test_an_open_server_says_that_it_asks_for_no_key(client: Client) -> None:
    assert all(security[0] == {} for security in securities(await (await client.get("/openapi.json")).json()))
    assert client.app is not None
    client.app[GATE].closed = True
    closed = securities(await (await client.get("/openapi.json")).json())
    assert closed
    assert not [security for security in closed if {} in security]


def securities(description: dict[str, Any]) -> list[list[dict[str, Any]]]:
    operations = [each for path in description["paths"].values() for each in path.values()]
    return [operation["security"] for operation in operations if "security" in operation]


async def test_the_page_asks_this_server_alone(client: Client) -> None:
    response = await client.get("/docs")
    page = await response.text()
    assert (response.status, response.content_type) == (200, "text/html")
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "://" not in page
    assert "<script>" not in page
    assets = [part.partition('"')[0] for part in page.split('"/docs/')[1:]]
    assert "swagger-ui-bundle.js" in assets
    for name in assets:
        found = await client.get(f"/docs/{name}")
        assert (found.status, len(await found.read()) > 100) == (200, True), name
        assert found.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("name", ["", "index.css", "LICENSE", "..%2f__init__.py", "%2e%2e%2f__init__.py"])
async def test_the_page_has_no_other_files(client: Client, name: str) -> None:
    response = await client.get(f"/docs/{name}")
    assert (response.status, response.content_type) == (404, "application/problem+json")
