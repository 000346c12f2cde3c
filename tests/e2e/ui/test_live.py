"""What a real write, through PostgreSQL, Debezium and the worker, does to a page that somebody looks at."""

import asyncio
import re
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack

import pytest
from playwright.sync_api import Page, expect

from app.settings import Role, Settings
from load.sending import Message, send
from tests.e2e.ui.conftest import Service, url_of
from tests.e2e.ui.profiles import PROFILE, SERIES, entity, relation
from tests.e2e.workers import Worker
from tests.stack import (
    TestStack,
    application_settings,
    create_database,
    drop_database,
    own_connector,
    own_topics,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

ROLES = [Role.WEB, Role.CDC, Role.TEMPORAL_DATA]


class LiveService(Service):
    """`settings` are those of the worker behind it."""

    def __init__(self, url: str, settings: Settings) -> None:
        super().__init__(url)
        self.settings = settings


@pytest.fixture(scope="module")
def service(test_stack: TestStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    servers = test_stack.need("postgres", "redis", "kafka", "connect")
    name = f"test_{uuid.uuid4().hex[:12]}"
    asyncio.run(create_database(servers, name))
    settings = application_settings(servers, database=name, topic_prefix=f"{name}.", cache_prefix=name)
    settings = settings.model_copy(update={"roles": ROLES, "web_port": 0})
    with asyncio.Runner() as runner, ExitStack() as stack:
        stack.callback(lambda: asyncio.run(drop_database(servers, name)))
        around = AsyncExitStack()
        stack.callback(lambda: runner.run(around.aclose()))
        for own in (own_topics(settings), own_connector(servers, settings, name)):
            runner.run(around.enter_async_context(own))
        log = tmp_path_factory.mktemp("live") / "worker.log"
        worker = stack.enter_context(Worker(settings, log))
        service = LiveService(url_of(worker), settings)
        service.post("/v1/graph/sync", PROFILE)
        service.post("/v1/temporal/ingest", SERIES)
        yield service


def until_live(page: Page) -> None:
    expect(page.get_by_role("status").filter(has_text="Live")).to_be_visible()


def test_a_write_comes_to_the_live_view(page: Page, service: Service) -> None:
    page.get_by_role("link", name="Live").click()
    until_live(page)
    reference = f"u-{uuid.uuid4().hex[:8]}"
    service.post("/v1/graph/sync", {"entities": [entity("user", reference, name="Caio Luz")]})
    row = page.locator(".event", has_text=reference)
    expect(row.filter(has_text="entity_created")).to_be_visible()

    page.get_by_label("Filter").fill(reference)
    service.post("/v1/graph/sync", {"entities": [entity("user", reference, name="Caio Lua")]})
    changed = row.filter(has_text="entity_properties_updated")
    expect(changed.locator("ins")).to_contain_text("Caio Lua")
    expect(changed.locator("del")).to_contain_text("Caio Luz")
    changed.get_by_role("link", name=reference).click()
    expect(page.get_by_role("heading", name="Caio Lua", exact=True)).to_be_visible()


def test_a_changed_entity_flashes_and_shows_what_is_new(page: Page, service: Service) -> None:
    page.goto(service.url + "/#/explore?property=email&value=ana%40email.com&depth=2")
    expect(page.get_by_role("heading", name="Ana Prado", exact=True)).to_be_visible()
    page.get_by_role("button", name="Follow changes").click()
    expect(page.get_by_role("button", name="Following changes")).to_be_visible()
    page.wait_for_function("() => document.querySelector('.dot-live') !== null")
    balance = f"{time.time_ns() % 10**6}.25"
    told = entity("user", "u-ana", balance=float(balance))
    service.post("/v1/graph/sync", {"entities": [told]})
    expect(page.get_by_role("main")).to_contain_text(balance)
    expect(page.locator("p.unseen[role=status]")).to_have_text("Ana Prado changed")


@pytest.mark.parametrize("place", ["root", "child"])
def test_who_is_erased_leaves_the_page(page: Page, service: Service, place: str) -> None:
    reference = f"u-{uuid.uuid4().hex[:8]}"
    other = f"u-{uuid.uuid4().hex[:8]}"
    service.post(
        "/v1/graph/sync",
        {
            "entities": [
                entity("user", reference, name="Davi Sol", email=f"{reference}@email.com"),
                entity("user", other, name="Eva Mar"),
            ],
            "relationships": [
                relation(f"user:{other}", "knows", f"user:{reference}")
                if place == "child"
                else relation(f"user:{reference}", "knows", f"user:{other}")
            ],
        },
    )
    page.goto(service.url + f"/#/explore?property=email&value={reference}%40email.com")
    expect(page.get_by_role("heading", name="Davi Sol", exact=True)).to_be_visible()
    entity_id = page.locator(".stamps dd").first.inner_text()
    if place == "child":
        page.goto(service.url + f"/#/explore?type=user&reference={other}")
        expect(page.get_by_role("heading", name="Eva Mar", exact=True)).to_be_visible()
        page.get_by_role("tab", name="Relationships").click()
        page.get_by_role("button", name="Davi Sol").click()
        expect(page.get_by_role("heading", name="Davi Sol", exact=True)).to_be_visible()
    page.get_by_role("button", name="Follow changes").click()
    page.wait_for_function("() => document.querySelector('.dot-live') !== null")
    service.delete(f"/v1/graph/{entity_id}")

    expect(page.locator("p.unseen[role=status]")).to_have_text(f"#{entity_id} was erased")
    if place == "root":
        expect(page.get_by_role("heading", name=f"#{entity_id}", exact=True)).to_be_visible()
        expect(page.get_by_text("no longer in the service")).to_be_visible()
        expect(page.get_by_role("treeitem")).to_have_attribute("aria-label", f"user #{entity_id}, erased")
        expect(page.get_by_text("0 entities")).to_be_visible()
    # Neither what is seen, nor what is told to screen readers, nor the parent's JSON.
    html = page.get_by_role("main").inner_html()
    assert "Davi Sol" not in html
    page.get_by_role("link", name="Live").click()
    expect(page.locator(".event", has_text="entity_erased").first).to_contain_text(f"entity-{entity_id}")
    assert "Davi Sol" not in page.get_by_role("main").inner_html()


def test_a_real_dead_letter_is_told_and_sent_again(page: Page, service: LiveService) -> None:
    topic = service.settings.topics.temporal_data
    letter = Message(b"user:u-ana", b"{broken", int(time.time() * 1000))
    with ThreadPoolExecutor(1) as beside:  # the browser's driver has this thread's event loop
        beside.submit(asyncio.run, send(service.settings.kafka_brokers, topic, [letter], total=1)).result()
    page.get_by_role("link", name="Operations").click()
    button = page.get_by_role("button", name=re.compile(r"^Replay .*temporal-data\W"))
    deadline = time.monotonic() + 60
    while not button.is_visible():
        assert time.monotonic() < deadline, "no letter came"
        page.get_by_role("button", name="Reload").click()
        page.wait_for_timeout(500)
    row = page.get_by_role("row").filter(has=button)
    expect(row).to_contain_text("user:u-ana")
    expect(row).to_contain_text("invalid-json")
    button.click()
    page.get_by_role("button", name="Replay", exact=True).click()
    expect(page.get_by_text("Sent again")).to_be_visible()
