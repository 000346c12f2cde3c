"""What surrounds every request: ids, errors, time limits, logs, and the small routes."""

import asyncio
import logging
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from yarl import URL

from app.config.settings import Settings
from app.core.api_keys import Scope
from app.core.errors import FatalError, InvalidError, TransientError
from app.observability.readiness import Readiness
from app.ports.health import DependencyState
from tests.unit.app.key_fakes import FakeKeys, StillClock, ring_of
from tests.unit.web.fakes import FakeProbe, World
from web import problems
from web.application import build

Client = TestClient[Any, Any]


@pytest.mark.parametrize(
    ("error", "status", "name"),
    [
        (TransientError("dsn=secret"), 503, "unavailable"),
        (TimeoutError("secret"), 504, "timeout"),
        (RuntimeError("secret"), 500, "internal-error"),
        (FatalError("secret"), 500, "internal-error"),
        (InvalidError("value is not one"), 400, "invalid-parameter"),
    ],
)
async def test_an_error_becomes_a_problem_without_its_message(
    client: Client,
    world: World,
    caplog: pytest.LogCaptureFixture,
    *,
    error: Exception,
    status: int,
    name: str,
) -> None:
    world.reader.error = error
    response = await client.get("/v1/graph/7")
    text = await response.text()
    assert (response.status, response.content_type) == (status, "application/problem+json")
    assert (await response.json(content_type=None))["type"] == f"/problems/{name}"
    assert "secret" not in text + caplog.text
    assert "Traceback" not in text + caplog.text
    assert response.headers.get("Retry-After") == ("1" if status == 503 else None)
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_slow_request_is_stopped(client: Client, world: World) -> None:
    world.reader.delay_s = 5
    response = await client.get("/v1/graph/7")
    assert response.status == 504


async def test_a_slow_body_is_told_apart(client: Client) -> None:
    async def pieces() -> Any:
        yield b"{"
        await asyncio.sleep(5)
        yield b"}"

    response = await client.post(
        "/v1/graph/sync", data=pieces(), headers={"Content-Type": "application/json"}
    )
    assert response.status == 408


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", "/v1/graph/7", "DELETE, GET, HEAD"),
        ("DELETE", "/", "GET, HEAD"),
        ("GET", "/v1/graph/sync", "POST"),
        ("PUT", "/v1/graph/batch", "POST"),
        ("HEAD", "/v1/temporal/ingest", "POST"),
    ],
)
async def test_405_names_the_methods(client: Client, method: str, path: str, allow: str) -> None:
    response = await client.request(method, path)
    assert (response.status, response.headers["Allow"]) == (405, allow)
    assert response.content_type == "application/problem+json"


@pytest.mark.parametrize("given_id", ["abc-123", "A.b_c:9", "x" * 128])
async def test_keeps_a_good_request_id(client: Client, given_id: str) -> None:
    response = await client.get("/v1/graph/7", headers={"X-Request-Id": given_id})
    assert response.headers["X-Request-Id"] == given_id


@pytest.mark.parametrize("given_id", ["", "a b", "x" * 129, "é", '"'])
async def test_makes_a_request_id_where_there_is_no_good_one(client: Client, given_id: str) -> None:
    response = await client.get("/v1/graph/7", headers={"X-Request-Id": given_id})
    assert len(response.headers["X-Request-Id"]) == 32
    assert response.headers["X-Request-Id"] != given_id


async def test_logs_the_route_and_never_the_path(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    await client.get("/v1/graph/by-property/email/value/joao@email.com", headers={"X-Request-Id": "r1"})
    (record,) = [record for record in caplog.records if record.name == "web.access"]
    logged = vars(record)
    assert logged["route"] == "/v1/graph/by-property/{prop}/value/{value}"
    assert (logged["method"], logged["status"], logged["cache"]) == ("GET", 200, "hit")
    assert (logged["request_id"], logged["ms"]) == ("r1", 5.0)
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("web")]
    assert "joao" not in str(ours)


@pytest.mark.parametrize("name", sorted(problems.PROBLEMS))
async def test_explains_each_problem(client: Client, name: str) -> None:
    response = await client.get(f"/problems/{name}")
    body = await response.json()
    assert (response.status, body["type"]) == (200, f"/problems/{name}")
    assert body["meaning"]


async def test_an_unknown_problem_is_a_404(client: Client) -> None:
    assert (await client.get("/problems/none")).status == 404


async def test_the_index_leads_to_every_route(client: Client) -> None:
    links = (await (await client.get("/")).json())["links"]
    linked = " ".join(str(link) for link in links.values())
    for resource in client.app.router.resources():  # type: ignore[union-attr]
        stem = resource.canonical.partition("{")[0]
        assert stem.rstrip("/") in linked or resource.canonical == "/"


async def test_alive(client: Client) -> None:
    response = await client.get("/healthz")
    assert (response.status, await response.json()) == (200, {"status": "alive"})


def state(name: str, *, ready: bool, required: bool = True) -> DependencyState:
    return DependencyState(name=name, ready=ready, required=required, detail="asked")


@pytest.mark.parametrize(
    ("states", "status"),
    [
        ([], 200),
        ([state("a", ready=True), state("b", ready=False, required=False)], 200),
        ([state("a", ready=True), state("b", ready=False)], 503),
    ],
)
async def test_ready_when_all_that_is_required_is(
    client: Client, world: World, states: list[DependencyState], status: int
) -> None:
    world.probes.append(FakeProbe(states=states))
    response = await client.get("/readyz")
    body = await response.json()
    assert response.status == status
    assert body["status"] == ("ready" if status == 200 else "not ready")
    assert [found["name"] for found in body["dependencies"]] == [s.name for s in states]


async def test_strangers_are_told_one_word(aiohttp_client: Any, world: World, web_settings: Settings) -> None:
    world.probes.append(FakeProbe(states=[state("a", ready=False)]))
    keys = FakeKeys()
    scraper, reader = keys.make(Scope.METRICS), keys.make(Scope.READ)
    world.keys = ring_of(keys, StillClock())
    await world.keys.read()
    closed = web_settings.model_copy(update={"auth": "required"})
    client = await aiohttp_client(build(world.services(), closed))
    for key in (None, "nonsense", reader, scraper):
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        response = await client.get("/readyz", headers=headers)
        body = await response.json()
        assert (response.status, body.pop("status")) == (503, "not ready")
        assert bool(body) is (key == scraper)
    opened = await aiohttp_client(build(world.services(), web_settings))
    for headers, told in (({}, True), ({"Via": "1.1 proxy"}, False), ({"Host": "evil.example"}, False)):
        body = await (await opened.get("/readyz", headers={"Host": "localhost", **headers})).json()
        assert ("dependencies" in body) is told


async def test_questions_cost_no_probe() -> None:
    clock, probe = StillClock(), CountedProbe()
    readiness = Readiness([probe], clock, every_s=1000)
    running = asyncio.create_task(readiness.run())
    found = await asyncio.gather(*(readiness.states() for _ in range(50)))
    assert probe.asked == 1
    assert all([each.ready for each in states] == [True] for states in found)
    clock.at += 11  # the round that is due has not ended
    late = (await readiness.states())[-1]
    assert (late.ready, late.required, late.name) == (False, True, "probes")
    running.cancel()


class CountedProbe:
    asked = 0

    async def check(self) -> list[DependencyState]:
        self.asked += 1
        return [state("a", ready=True)]


async def test_a_probe_that_breaks_or_hangs_is_not_ready(
    client: Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.observability.readiness.PROBE_TIMEOUT_S", 0.05)
    world.probes += [FakeProbe(error=RuntimeError("secret")), FakeProbe(delay_s=1), FakeProbe(delay_s=1)]
    response = await client.get("/readyz")
    assert response.status == 503
    text = await response.text()
    assert "RuntimeError" in text
    assert "no answer within" in text
    assert "secret" not in text


async def test_metrics_pass_through(client: Client) -> None:
    response = await client.get("/metrics")
    assert (await response.read(), response.content_type) == (b"up 1\n", "text/plain")


SEGMENT = st.text("abcz019/%.@:;+&=?#{}\\'\"<> \0\n\té😀", max_size=12) | st.binary(max_size=6).map(
    lambda raw: "".join(f"%{byte:02X}" for byte in raw)
)


@given(
    path=st.sampled_from(
        [
            "/v1/graph/{}",
            "/v1/graph/by-property/{}/value/{}",
            "/v1/graph/by-reference/{}/{}",
            "/problems/{}",
            "/{}",
        ]
    ),
    segments=st.tuples(SEGMENT, SEGMENT),
    query=st.lists(
        st.tuples(
            st.sampled_from(["depth", "period", "depthLimit", "startTime", "limit", "cursor", "x", ""]),
            SEGMENT,
        ),
        max_size=3,
    ),
    raw=st.booleans(),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_no_path_or_query_is_a_500(
    client: Client, path: str, segments: tuple[str, str], query: list[tuple[str, str]], raw: bool
) -> None:
    text = path.format(*segments) + "?" + "&".join(f"{name}={value}" for name, value in query)
    try:
        url = URL(text, encoded=False)
    except ValueError:  # `//\\`: the client itself takes it for a host
        reject()
    if raw and all("!" <= character <= "~" for character in text):
        url = URL(text.replace("#", ""), encoded=True)
    response = await client.get(url.relative() if url.absolute else url)
    await response.read()
    assert response.status in {200, 400, 404}
