"""Who is let in: every route, every scope, every setting."""

import asyncio
import json
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from pydantic import SecretStr

from app.config.settings import Settings
from app.core.api_keys import Rate, Scope, granting
from app.core.errors import FatalError, TransientError
from tests.unit.app.key_fakes import FakeKeys, StillClock, ring_of
from tests.unit.web.fakes import World
from web.application import build
from web.openapi.document import document
from web.route_table import ROUTES, Budget, Route
from web.server.server import WebServer
from web.services import GATE

Client = TestClient[Any, Any]

OPEN = {
    "/",
    "/assets/{name}",
    "/docs",
    "/docs/{asset}",
    "/healthz",
    "/openapi.json",
    "/problems/{name}",
    "/readyz",
}
BODIES = {
    "syncGraph": b'{"entities": [{"type": "user", "reference": "u-7", "properties": {"a": 1}}]}',
    "ingestTemporal": b'{"data_points": [{"entity_type": "user", "entity_reference": "u-7", "key": "k", '
    b'"granularity": "daily", "reference_date": "2025-01-15T23:59:59Z", "value": 1}]}',
    "getEntities": b'{"entity_ids": [7]}',
}
SAMPLES = {
    "id": "7",
    "type": "user",
    "reference": "u-7",
    "prop": "email",
    "value": "a",
    "asset": "x",
    "name": "x",
    "ledger_id": "ab" * 32,
    "topic": "t",
    "partition": "0",
    "offset": "0",
}


@pytest.fixture
def keys() -> FakeKeys:
    return FakeKeys()


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
async def guarded(
    aiohttp_client: Any, world: World, web_settings: Settings, keys: FakeKeys, clock: StillClock
) -> Client:
    """A server for which a key was made: it has no scope."""
    keys.make()
    world.keys = ring_of(keys, clock)
    await world.keys.read()
    client: Client = await aiohttp_client(build(world.services(), web_settings))
    return client


async def made(world: World, keys: FakeKeys, *scopes: Scope) -> str:
    """A key that the server knows."""
    text = keys.make(*scopes)
    assert world.keys is not None
    await world.keys.read()
    return text


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


def test_each_route_stands_in_the_table_with_the_scope_of_its_method() -> None:
    assert {route.path for route in ROUTES if route.scope is None} == OPEN
    for route in ROUTES:
        if route.path in OPEN:
            continue
        if route.path == "/metrics":
            assert route.scope is Scope.METRICS
        elif route.id == "getErasure":
            assert route.scope is Scope.ERASE
        elif route.path.startswith("/v1/dead-letters"):
            assert route.scope is Scope.ADMIN
        elif route.method == "GET" or route.path == "/v1/graph/batch":
            assert route.scope is Scope.READ, route.id
        else:
            assert route.scope is {"POST": Scope.WRITE, "DELETE": Scope.ERASE}[route.method], route.id


def test_the_description_names_the_scopes_of_the_table() -> None:
    paths = json.loads(document())["paths"]
    for route in ROUTES:
        security = [{"key": [each]} for each in granting(route.scope)] if route.scope else None
        assert paths[route.path][route.method.lower()].get("security") == security, route.id


async def test_a_path_of_no_route_is_not_found_without_a_key(guarded: Client) -> None:
    assert (await guarded.get("/nowhere")).status == 404


@pytest.mark.parametrize(
    ("route", "method"),
    [pytest.param(route, method, id=f"{route.id}-{method}") for route in ROUTES for method in route.methods],
)
async def test_each_route_wants_its_scope_and_no_other_one(
    guarded: Client, world: World, keys: FakeKeys, *, route: Route, method: str
) -> None:
    target, scope = route.path.format(**SAMPLES), route.scope
    bare = await guarded.request(method, target)
    if scope is None:
        assert bare.status in (200, 404)
        return
    assert bare.status == 401
    assert bare.headers["WWW-Authenticate"] == 'Bearer realm="user-profile"'
    others = await made(world, keys, *(set(Scope) - set(granting(scope))))
    own = await made(world, keys, scope)
    refused = await guarded.request(method, target, headers=bearer(others))
    assert refused.status == 403
    assert refused.headers["WWW-Authenticate"].endswith(f'error="insufficient_scope", scope="{scope}"')
    if method != "HEAD":
        problem = await refused.json(content_type=None)
        assert (problem["type"], problem["scope"]) == ("/problems/forbidden", scope)
        assert (await bare.json(content_type=None))["type"] == "/problems/unauthorized"
    assert world.reader.calls == []
    assert world.eraser.calls == []
    admitted = await guarded.request(method, target, headers=bearer(own))
    assert admitted.status in (200, 400, 404, 415)


FLAGS = ["dry_run", "payload"]


@pytest.mark.parametrize("route", [route for route in ROUTES if route.scope], ids=lambda route: route.id)
async def test_each_set_of_scopes_does_in_each_mode_what_the_table_says(
    guarded: Client, world: World, keys: FakeKeys, route: Route
) -> None:
    """Each flag that a route takes is a mode; what a mode tells beyond the route needs a scope of its own."""
    assert route.scope is not None
    modes: list[tuple[str, set[Scope]]] = [("", {route.scope})]
    for flag in FLAGS:
        if flag in route.query.split(","):
            more = {route.modes[flag]} if flag in route.modes else set()
            modes.append((f"?{flag}=true", {route.scope} | more))
    assert set(route.modes) <= set(FLAGS)
    texts = {}
    for scopes in [{each} for each in Scope] + [set(Scope) - {each} for each in Scope]:
        texts[frozenset(scopes)] = await made(world, keys, *scopes)
    for query, needed in modes:
        for scopes, text in texts.items():
            allowed = all(set(granting(each)) & scopes for each in needed)
            before = len(world.preview.batches), len(world.writer.batches), len(world.reader.calls)
            response = await guarded.request(
                "HEAD" if route.budget is Budget.STREAM else route.method,
                route.path.format(**SAMPLES) + query,
                headers=bearer(text) | {"Content-Type": "application/json"},
                data=BODIES.get(route.id),
            )
            assert (response.status == 403) is not allowed, (route.id, query, sorted(scopes))
            if not allowed:
                assert before == (
                    len(world.preview.batches),
                    len(world.writer.batches),
                    len(world.reader.calls),
                )


async def test_a_dry_run_with_write_alone_tells_nothing(
    guarded: Client, world: World, keys: FakeKeys
) -> None:
    text = await made(world, keys, Scope.WRITE)
    for path, body in (
        ("/v1/graph/sync", BODIES["syncGraph"]),
        ("/v1/temporal/ingest", BODIES["ingestTemporal"]),
    ):
        asked = {"headers": bearer(text) | {"Content-Type": "application/json"}, "data": body}
        refused = await guarded.post(f"{path}?dry_run=true", **asked)
        problem = await refused.json(content_type=None)
        assert (refused.status, problem["scope"]) == (403, "read")
        assert problem["detail"] == "The API key lacks the scope read, which dry_run=true needs."
        assert (await guarded.post(path, **asked)).status == 202


@pytest.mark.parametrize(
    ("scope", "statuses"), [(Scope.METRICS, (200, 403)), (Scope.ADMIN, (200, 200)), (Scope.READ, (403, 403))]
)
async def test_a_key_of_prometheus_reads_the_metrics_alone(
    guarded: Client, world: World, keys: FakeKeys, scope: Scope, statuses: tuple[int, int]
) -> None:
    text = bearer(await made(world, keys, scope))
    found = [(await guarded.get(path, headers=text)).status for path in ("/metrics", "/v1/dead-letters")]
    assert tuple(found) == statuses


def test_the_description_names_either_scope_of_the_metrics() -> None:
    paths = json.loads(document())["paths"]
    assert paths["/metrics"]["get"]["security"] == [{"key": ["metrics"]}, {"key": ["admin"]}]
    assert paths["/v1/dead-letters"]["get"]["security"] == [{"key": ["admin"]}]


@pytest.mark.parametrize(
    "given",
    ["", "Bearer", "Bearer ", "Basic dTpw", "bearerx", "Bearer nonsense", "Bearer é", "Bearer " + "x" * 8000],
)
async def test_what_is_no_key_is_401(guarded: Client, given: str) -> None:
    response = await guarded.get("/v1/graph/7", headers={"Authorization": given})
    assert response.status == 401
    assert response.headers["WWW-Authenticate"].startswith("Bearer realm=")


async def test_the_scheme_is_in_any_case(guarded: Client, world: World, keys: FakeKeys) -> None:
    text = await made(world, keys, Scope.READ)
    for scheme in ("bearer", "BEARER", "Bearer"):
        response = await guarded.get("/v1/graph/7", headers={"Authorization": f"{scheme}  {text} "})
        assert response.status == 200


async def test_keys_that_can_not_be_checked_are_503(
    guarded: Client, world: World, keys: FakeKeys, clock: StillClock
) -> None:
    text = await made(world, keys, Scope.READ)
    assert (await guarded.get("/v1/graph/7", headers=bearer(text))).status == 200
    keys.error = TransientError("away")
    clock.at += 59
    assert (await guarded.get("/v1/graph/7", headers=bearer(text))).status == 200
    clock.at += 2
    response = await guarded.get("/v1/graph/7", headers=bearer(text))
    assert (response.status, response.headers["Retry-After"]) == (503, "1")


async def test_the_audit_log_names_the_key_of_an_erasure(
    guarded: Client, world: World, keys: FakeKeys, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    text = await made(world, keys, Scope.ERASE)
    assert (await guarded.delete("/v1/graph/7", headers=bearer(text))).status == 200
    (told,) = [vars(record) for record in caplog.records if record.__dict__.get("event") == "entity_erased"]
    assert told["key_id"] == text.split("_")[1]
    assert text not in caplog.text


async def test_a_key_that_asks_too_often_is_429(
    aiohttp_client: Any, world: World, web_settings: Settings, keys: FakeKeys, clock: StillClock
) -> None:
    text, other = keys.make(Scope.READ, rate=Rate(per_s=0.1, burst=2)), keys.make(Scope.READ)
    world.keys = ring_of(keys, clock)
    await world.keys.read()
    client = await aiohttp_client(build(world.services(), web_settings))
    answers = [(await client.get("/v1/graph/7", headers=bearer(text))).status for _ in range(2)]
    refused = await client.get("/v1/graph/7", headers=bearer(text))
    assert [*answers, refused.status] == [200, 200, 429]
    assert 0 < int(refused.headers["Retry-After"]) <= 10
    assert (await refused.json(content_type=None))["type"] == "/problems/too-many-requests"
    assert (await client.get("/v1/graph/7", headers=bearer(other))).status == 200


async def test_what_is_too_much_at_once_is_refused(aiohttp_client: Any, world: World) -> None:
    settings = Settings(_env_file=None, web_max_in_flight=2, web_max_exports=1)
    client = await aiohttp_client(build(world.services(), settings))
    world.reader.delay_s = 0.3
    asked = [asyncio.create_task(client.get("/v1/graph/7")) for _ in range(2)]
    await asyncio.sleep(0.1)
    refused = await client.get("/v1/graph/7")
    assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
    assert (await refused.json(content_type=None))["type"] == "/problems/overloaded"
    for path in ("/healthz", "/metrics", "/readyz"):
        assert (await client.get(path)).status == 200
    assert [(await each).status for each in asked] == [200, 200]
    assert (await client.get("/v1/graph/7")).status == 200


@pytest.mark.parametrize(
    ("auth", "host", "any_key", "closed"),
    [
        ("auto", "127.0.0.1", False, True),  # as the version before called it
        ("off", "0.0.0.0", True, False),
        ("off", "127.0.0.1", True, False),
        ("required", "127.0.0.1", False, True),
    ],
)
async def test_when_keys_are_asked_for(
    world: World, keys: FakeKeys, clock: StillClock, *, auth: Any, host: str, any_key: bool, closed: bool
) -> None:
    if any_key:
        keys.make(Scope.READ)
    world.keys = ring_of(keys, clock)
    await world.keys.read()
    application = build(
        world.services(), Settings(_env_file=None, auth=auth, erasure_key=SecretStr("k" * 32))
    )
    server = WebServer(application, host=host, port=0, allow_non_loopback=True)
    await server.start()
    assert application[GATE].closed is closed
    await server.stop()


def test_the_default_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROFILE_AUTH")
    assert Settings(_env_file=None).auth == "required"


async def test_it_stays_closed_when_the_last_key_is_revoked(
    aiohttp_client: Any, world: World, web_settings: Settings, keys: FakeKeys, clock: StillClock
) -> None:
    world.keys = ring_of(keys, clock)
    await world.keys.read()
    client = await aiohttp_client(build(world.services(), web_settings))
    assert (await client.get("/v1/graph/7")).status == 401
    text = keys.make(Scope.READ)
    await world.keys.read()
    assert (await client.get("/v1/graph/7", headers=bearer(text))).status == 200
    await keys.revoke(text.split("_")[1])
    await world.keys.read()
    assert (await client.get("/v1/graph/7", headers=bearer(text))).status == 401
    assert (await client.get("/v1/graph/7")).status == 401


@pytest.mark.parametrize(("auth", "what"), [("off", "PROFILE_AUTH=off"), ("required", "keys create")])
async def test_beyond_this_machine_it_does_not_listen_without_keys(
    world: World, keys: FakeKeys, clock: StillClock, auth: Any, what: str
) -> None:
    world.keys = ring_of(keys, clock)
    await world.keys.read()
    application = build(
        world.services(), Settings(_env_file=None, auth=auth, erasure_key=SecretStr("k" * 32))
    )
    with pytest.raises(FatalError, match=what):
        await WebServer(application, host="0.0.0.0", port=0).start()


async def test_beyond_this_machine_it_listens_with_keys(
    world: World, keys: FakeKeys, clock: StillClock
) -> None:
    keys.make(Scope.READ)
    world.keys = ring_of(keys, clock)
    await world.keys.read()
    server = WebServer(
        build(world.services(), Settings(_env_file=None, auth="required", erasure_key=SecretStr("k" * 32))),
        host="0.0.0.0",
        port=0,
    )
    await server.start()
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.close()
    await server.stop()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", server.port)


def test_required_without_a_store_is_refused(world: World) -> None:
    with pytest.raises(FatalError, match="PROFILE_AUTH"):
        build(world.services(), Settings(_env_file=None, auth="required"))


@pytest.mark.parametrize(
    "path", ["/", "/v1/graph/7", "/v1/graph/8", "/nowhere", "/healthz", "/v1/graph/7/export"]
)
async def test_every_answer_tells_browsers_to_do_nothing_with_it(client: Client, path: str) -> None:
    headers = (await client.get(path)).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"


async def test_the_page_has_a_policy_of_its_own(client: Client) -> None:
    headers = (await client.get("/docs")).headers
    assert "script-src 'self';" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers.getall("Content-Security-Policy") == [headers["Content-Security-Policy"]]
    assert headers["X-Frame-Options"] == "DENY"
