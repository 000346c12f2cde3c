"""A server that asks for no key obeys its own pages and programs, and nobody's page from elsewhere."""

from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from multidict import CIMultiDict

from app.config.settings import Settings
from app.core.api_keys import Scope
from tests.unit.app.key_fakes import FakeKeys, StillClock, ring_of
from tests.unit.web.fakes import TREE, World
from tests.unit.web.server.test_connection import Client as Wire
from web.application import build
from web.auth.origins import Origins
from web.server.server import WebServer

Client = TestClient[Any, Any]

EVIL = {"Host": "evil.example"}
REPLAY = "/v1/dead-letters/properties/0/0/replay"


def known(host: str, *allowed: str, loopback: bool = True) -> bool:
    origins = Origins(frozenset(allowed))
    origins.listen("127.0.0.5" if loopback else "10.0.0.1", loopback=loopback)
    return origins.knows({"Host": host})


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8888", "LOCALHOST.", "127.0.0.1", "127.9.9.9:80", "[::1]", "[::1]:8888"],
)
def test_names_of_loopback_are_known(host: str) -> None:
    assert known(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "evil.example:8888",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "128.0.0.1",
        "[::2]",
        "10.0.0.1",
        "localhost@evil.example",
        "2130706433",
    ],
)
def test_other_names_are_not(host: str) -> None:
    assert not known(host)


def test_a_proxy_is_known_by_its_name() -> None:
    assert known("Profiles.example:443", "profiles.EXAMPLE")
    assert not known("www.profiles.example", "profiles.example")


def test_beyond_loopback_any_name_is_good_until_some_are_named() -> None:
    assert known("anything", loopback=False)
    assert not known("anything", "profiles.example", loopback=False)
    assert known("10.0.0.1", "profiles.example", loopback=False)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/graph/7"),
        ("DELETE", "/v1/graph/7"),
        ("POST", REPLAY),
        ("GET", "/v1/graph/7/export"),
        ("GET", "/metrics"),
        ("GET", "/v1/events"),
    ],
)
async def test_a_strange_name_gets_nothing(client: Client, world: World, method: str, path: str) -> None:
    response = await client.request(method, path, headers=EVIL)
    problem = await response.json(content_type=None)
    assert (response.status, problem["type"]) == (421, "/problems/unknown-host")
    assert world.reader.calls == world.eraser.calls == []


@pytest.mark.parametrize("header", ["Forwarded", "Via", "X-Forwarded-For", "x-forwarded-proto", "X-Real-IP"])
@pytest.mark.parametrize("in_memory", [True, False])
async def test_without_keys_a_proxy_is_strange_until_it_is_named(
    aiohttp_client: Any, world: World, header: str, in_memory: bool
) -> None:
    world.reader.in_memory = in_memory
    for settings, status in (
        ({}, 403),
        ({"web_trusted_proxies": "10.0.0.9"}, 403),
        ({"web_trusted_proxies": "127.0.0.1"}, 200),
    ):
        client = await aiohttp_client(build(world.services(), Settings(_env_file=None, **settings)))
        response = await client.get("/v1/graph/7", headers={"Host": "localhost", header: "for=203.0.113.7"})
        assert response.status == status
        if status != 200:
            problem = await response.json(content_type=None)
            assert problem["type"] == "/problems/proxied"
            assert "PROFILE_WEB_TRUSTED_PROXIES" in problem["detail"]


def test_the_way_from_memory_is_not_for_what_a_proxy_passes_on() -> None:
    origins = Origins(frozenset(), frozenset({"127.0.0.1"}))
    assert origins.knows(CIMultiDict({"Host": "localhost"}))
    assert not origins.knows(CIMultiDict({"Host": "localhost", "Via": "1.1 x"}))


async def test_with_a_key_a_proxy_is_none_of_our_business(aiohttp_client: Any, world: World) -> None:
    keys = FakeKeys()
    text = keys.make(Scope.READ)
    world.keys = ring_of(keys, StillClock())
    await world.keys.read()
    client = await aiohttp_client(build(world.services(), Settings(_env_file=None, auth="required")))
    asked = {"Authorization": f"Bearer {text}", "X-Forwarded-For": "203.0.113.7"}
    assert (await client.get("/v1/graph/7", headers=asked)).status == 200


async def test_probes_and_descriptions_are_for_any_name(client: Client) -> None:
    for path in ("/healthz", "/", "/openapi.json", "/problems/unknown-host"):
        assert (await client.get(path, headers=EVIL)).status == 200


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ({}, True),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "https://proxy.example"}, True),
        ({"Origin": "http://localhost:8888"}, True),
        ({"Origin": "http://profiles.example"}, True),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost:8888"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:3000"}, False),
        ({"Origin": "http://localhost:3000"}, False),
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "null"}, False),
    ],
)
@pytest.mark.parametrize(("method", "path"), [("POST", REPLAY), ("DELETE", "/v1/graph/7")])
async def test_pages_of_others_change_nothing(
    aiohttp_client: Any,
    world: World,
    *,
    method: str,
    path: str,
    headers: dict[str, str],
    passes: bool,
) -> None:
    settings = Settings(_env_file=None, web_allowed_hosts="profiles.example")
    client = await aiohttp_client(build(world.services(), settings))
    response = await client.request(method, path, headers={"Host": "localhost:8888", **headers})
    problem = await response.json(content_type=None)
    assert (problem.get("type") == "/problems/cross-site") is not passes
    assert passes or response.status == 403
    assert passes or world.eraser.calls == []


async def test_a_foreign_page_may_ask_and_not_see(client: Client) -> None:
    response = await client.get(
        "/v1/graph/7", headers={"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
    )
    assert response.status == 200
    assert not [name for name in response.headers if name.lower().startswith("access-control-")]


async def test_a_key_is_enough(aiohttp_client: Any, world: World, web_settings: Settings) -> None:
    keys = FakeKeys()
    text = keys.make(Scope.READ, Scope.ERASE)
    world.keys = ring_of(keys, StillClock())
    await world.keys.read()
    settings = web_settings.model_copy(update={"auth": "required"})
    client = await aiohttp_client(build(world.services(), settings))
    headers = {**EVIL, "Origin": "https://evil.example", "Authorization": f"Bearer {text}"}
    assert (await client.get("/v1/graph/7", headers=headers)).status == 200
    assert (await client.delete("/v1/graph/7", headers=headers)).status == 200


async def test_memory_does_not_answer_a_strange_name(world: World, web_settings: Settings) -> None:
    world.reader.in_memory = True
    server = WebServer(build(world.services(), web_settings), port=0)
    await server.start()
    wire = await Wire.connected(server.port)
    line = "GET /v1/graph/7?depth=2 HTTP/1.1\r\n"
    for host, status in [("localhost", 200), ("localhost", 200), ("evil.test", 421), ("evil.test", 421)]:
        found, body = await wire.asks(f"{line}Host: {host}\r\n\r\n")
        assert found == status
        assert (body == TREE) is (status == 200)
    assert [call[0] for call in world.reader.calls] == ["recall", "recall"]
    wire.close()
    await server.stop()
