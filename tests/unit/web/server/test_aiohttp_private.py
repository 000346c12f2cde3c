"""Which private members of aiohttp the server uses, and what becomes of it where one is gone."""

import ast
import inspect

import pytest
from aiohttp import web

from app.config.settings import Settings
from tests.unit.web.fakes import TREE, World
from tests.unit.web.http.test_raw_response import exchange, parts
from web.application import build
from web.http import aiohttp_private
from web.server.connection import ProblemHandler, ProblemServer
from web.server.server import WebServer


def used(ours: type, theirs: type) -> set[str]:
    """The private names of `theirs` that the code of `ours` has."""
    (body,) = ast.parse(inspect.getsource(ours)).body
    names = {node.attr for node in ast.walk(body) if isinstance(node, ast.Attribute)}
    private = {name for name in names if name.startswith("_") and not name.startswith("__")}
    own = {name for name in vars(ours) if not hasattr(theirs, name)} | {"_own"}
    return private - own


def test_each_private_name_is_listed() -> None:
    lists = (
        ("RequestHandler", used(ProblemHandler, web.RequestHandler), aiohttp_private.HANDLER),
        ("Server", used(ProblemServer, web.Server), aiohttp_private.SERVER),
    )
    for what, found, listed in lists:
        assert not found ^ listed, f"{what}: {found - listed} is not listed, {listed - found} not used"


async def test_the_installed_aiohttp_has_them_all(world: World, web_settings: Settings) -> None:
    runner = web.AppRunner(build(world.services(), web_settings))
    await runner.setup()
    try:
        assert runner.server is not None
        assert aiohttp_private.lacking(runner.server) == []
    finally:
        await runner.cleanup()


async def test_without_one_of_them_the_server_runs_on_plain_connections_and_says_so(
    world: World,
    web_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(aiohttp_private, "HANDLER", aiohttp_private.HANDLER | {"_gone"})
    world.reader.in_memory = True
    server = WebServer(build(world.services(), web_settings), port=0)
    await server.start()
    try:
        request = "GET /v1/graph/7 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        first, _, body = parts(await exchange(server.port, request))
        assert (first, body) == ("HTTP/1.1 200 OK", TREE)
        assert [call[0] for call in world.reader.calls] == ["graph"], "by aiohttp's own way"
        unknown = parts(await exchange(server.port, request.replace("/v1/graph/7", "/nowhere")))
        assert unknown[0] == "HTTP/1.1 404 Not Found"
    finally:
        await server.stop()
    assert "lacks RequestHandler._gone" in caplog.text
