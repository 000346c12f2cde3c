"""What the server does with a built page: who gets it, how it is cached, what it may do."""

import gzip
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from app.config.settings import Settings
from tests.unit.web.fakes import World
from web.application import build
from web.routes.page import Page, wants_html

Client = TestClient[Any, Any]

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
SCRIPT = "export const x = 1;\n" * 20


@pytest.fixture
async def built(aiohttp_client: Any, world: World, web_settings: Settings, tmp_path: Path) -> Client:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<!doctype html><title>x</title>")
    (tmp_path / "assets" / "index-Ab1.js").write_text(SCRIPT)
    client: Client = await aiohttp_client(build(world.services(), web_settings, Page(tmp_path)))
    return client


@pytest.fixture
async def unbuilt(aiohttp_client: Any, world: World, web_settings: Settings, tmp_path: Path) -> Client:
    client: Client = await aiohttp_client(build(world.services(), web_settings, Page(tmp_path)))
    return client


async def test_browsers_get_the_page_under_a_strict_policy(built: Client) -> None:
    response = await built.get("/", headers=BROWSER)
    assert response.content_type == "text/html"
    assert response.headers["Cache-Control"] == "no-cache"
    assert "Accept" in response.headers["Vary"]
    policy = response.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert "http" not in policy
    assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("accept", ["*/*", "application/json", "", "text/html;q=0"])
async def test_others_get_the_routes(built: Client, accept: str) -> None:
    response = await built.get("/", headers={"Accept": accept})
    assert response.content_type == "application/json"
    assert response.headers["Vary"] == "Accept"
    assert "page" not in await response.json()


async def test_without_a_page_browsers_get_the_routes_and_are_told_why(unbuilt: Client) -> None:
    response = await unbuilt.get("/", headers=BROWSER)
    assert response.content_type == "application/json"
    assert "make ui" in (await response.json())["page"]
    assert (await unbuilt.get("/assets/index-Ab1.js")).status == 404


async def test_assets_may_be_kept_for_ever(built: Client) -> None:
    response = await built.get("/assets/index-Ab1.js")
    assert response.status == 200
    assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert response.content_type in ("text/javascript", "application/javascript")
    assert await response.text() == SCRIPT


async def test_an_asset_is_compressed_for_who_takes_it(aiohttp_client: Any, built: Client) -> None:
    raw = await aiohttp_client(built.server, auto_decompress=False)
    small = await raw.get("/assets/index-Ab1.js", headers={"Accept-Encoding": "gzip, br"})
    assert small.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(await small.read()).decode() == SCRIPT
    for refused in ("identity", "gzip;q=0", "gzip;q=0, *"):
        plain = await raw.get("/assets/index-Ab1.js", headers={"Accept-Encoding": refused})
        assert "Content-Encoding" not in plain.headers, refused
        assert await plain.text() == SCRIPT


@pytest.mark.parametrize("path", ["/", "/assets/index-Ab1.js"])
async def test_what_is_known_is_not_sent_again(built: Client, path: str) -> None:
    first = await built.get(path, headers=BROWSER)
    again = await built.get(path, headers={**BROWSER, "If-None-Match": first.headers["ETag"]})
    assert (again.status, await again.read()) == (304, b"")
    other = await built.get(path, headers={**BROWSER, "If-None-Match": '"other"'})
    assert other.status == 200


@pytest.mark.parametrize("name", ["none.js", "..%2Findex.html", "%2E%2E%2Findex.html", ""])
async def test_nothing_else_is_served(built: Client, name: str) -> None:
    response = await built.get(f"/assets/{name}")
    assert response.status == 404
    assert response.content_type == "application/problem+json"


@pytest.mark.parametrize(
    ("accept", "html"),
    [
        ("text/html", True),
        ("application/json, TEXT/HTML;q=0.5", True),
        ("text/html;q=0", False),
        ("text/*", False),
        ("", False),
    ],
)
def test_html_is_for_who_names_it(accept: str, html: bool) -> None:
    assert wants_html(accept) is html
