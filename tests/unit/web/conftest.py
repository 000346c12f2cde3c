"""A client of the whole application, on fakes."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from pydantic import SecretStr

from app.config.settings import Settings
from tests.unit.web.fakes import World
from web.application import build
from web.server.server import WebServer


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def web_settings(request: pytest.FixtureRequest) -> Settings:
    """Of a server that asks for keys where the test makes some, and is open otherwise."""
    return Settings(
        _env_file=None,
        auth="required" if "keys" in request.fixturenames else "off",
        erasure_key=SecretStr("k" * 32),
        web_max_body_bytes=4096,
        web_max_items=5,
        web_request_timeout_s=0.2,
        max_value_bytes=512,
    )


@pytest.fixture
async def client(aiohttp_client: Any, world: World, web_settings: Settings) -> TestClient[Any, Any]:
    client: TestClient[Any, Any] = await aiohttp_client(build(world.services(), web_settings))
    return client


@pytest.fixture
async def server(world: World) -> AsyncIterator[WebServer]:
    """It listens on a free port."""
    settings = Settings(_env_file=None, web_port=0, web_shutdown_timeout_s=2)
    server = WebServer.from_settings(build(world.services(), settings), settings)
    await server.start()
    yield server
    await server.stop()
