"""A worker with the built page, on a database of its own, and a headless Chromium."""

import asyncio
import json
import shutil
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from app.config.settings import Role, Settings
from tests.e2e.ui.profiles import PROFILE, SERIES, wide_tree
from tests.e2e.workers import Worker
from tests.stack import TestStack, application_settings, create_database, drop_database
from web.routes.page import STATIC

FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_MS = 30_000
expect.set_options(timeout=PATIENCE_MS)


class Service:
    """A running worker; `post` writes through its API, as its users do."""

    def __init__(self, url: str) -> None:
        self.url = url

    def post(self, path: str, body: object) -> None:
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=30) as response:
            assert response.status == 202

    def delete(self, path: str) -> None:
        request = urllib.request.Request(self.url + path, method="DELETE")
        with urllib.request.urlopen(request, timeout=30) as response:
            assert response.status == 200


@pytest.fixture(scope="module")
def service(test_stack: TestStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    assert (STATIC / "index.html").is_file(), "The page was not built: run make ui."
    servers = test_stack.need("postgres", "redis", "kafka")
    name = f"test_{uuid.uuid4().hex[:12]}"
    asyncio.run(create_database(servers, name))
    settings = application_settings(servers, database=name, topic_prefix=f"{name}.", cache_prefix=name)
    log = tmp_path_factory.mktemp("ui") / "worker.log"
    with ExitStack() as stack:
        stack.callback(lambda: asyncio.run(drop_database(servers, name)))
        worker = stack.enter_context(Worker(_web(settings), log))
        service = Service(url_of(worker))
        service.post("/v1/graph/sync", PROFILE)
        service.post("/v1/temporal/ingest", SERIES)
        service.post("/v1/graph/sync", wide_tree())
        yield service


def _web(settings: Settings) -> Settings:
    return settings.model_copy(update={"roles": [Role.WEB], "web_port": 0})


def url_of(worker: Worker) -> str:
    """Wait until it listens, on whichever port it took."""
    deadline = time.monotonic() + 60
    while "listening on " not in worker.log:
        assert worker.process.poll() is None, worker.log[-3000:]
        assert time.monotonic() < deadline, worker.log[-3000:]
        time.sleep(0.1)
    return worker.log.partition("listening on ")[2].split()[0]


@pytest.fixture(scope="module")
def browser(service: Service) -> Iterator[Browser]:
    # It needs the service, since no database can be made while its loop runs.
    assert service.url
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    assert path, "The page's tests need Chromium: apt-get install chromium."
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def context(browser: Browser, request: pytest.FixtureRequest) -> Iterator[BrowserContext]:
    """A fresh profile; parametrize it indirectly with Playwright's options."""
    options: dict[str, Any] = {"viewport": {"width": 1440, "height": 900}, "locale": "en-GB"}
    context = browser.new_context(**options | getattr(request, "param", {}))
    context.set_default_timeout(PATIENCE_MS)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext, service: Service) -> Iterator[Page]:
    """A page at /, whose scripts must not fail and whose policy must hold."""
    page = context.new_page()
    broken: list[str] = []
    page.on("pageerror", lambda error: broken.append(str(error)))
    page.on(
        "console",
        # A refused request is a line of the browser's own.
        lambda line: line.type == "error" and "Failed to load" not in line.text and broken.append(line.text),
    )
    page.goto(service.url + "/")
    yield page
    assert broken == []


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core."""
    return (Path(STATIC).parent / "ui/node_modules/axe-core/axe.min.js").read_text()
