"""What a real write, through PostgreSQL, Debezium and the worker, does to a page that somebody looks at."""

import asyncio
import json
import re
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack

import pytest
from playwright.sync_api import Locator, Page, expect

from app.config.settings import Role, Settings
from load.generate.sending import Message, send
from tests.e2e.ui.conftest import Service, url_of
from tests.e2e.ui.profiles import PROFILE, SERIES, entity, relation
from tests.e2e.ui.steps import press
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
        names = {"PROFILE_CONNECTOR_NAME": name, "PROFILE_CDC_SLOT": name}
        worker = stack.enter_context(Worker(settings, log, **names))
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
    caught_up(page, service)
    page.goto(service.url + "/#/explore?property=email&value=ana%40email.com&depth=2")
    expect(page.get_by_role("heading", name="Ana Prado", exact=True)).to_be_visible()
    ana = page.locator(".stamps dd").first.inner_text()
    page.get_by_role("tab", name="Relationships").click()
    page.get_by_role("button", name="Sul Ltda").click()
    expect(page.get_by_role("heading", name="Sul Ltda", exact=True)).to_be_visible()
    organisation = page.locator(".stamps dd").first.inner_text()
    page.get_by_role("tree").press("Home")
    page.get_by_role("tab", name="Properties").click()
    expect(page.get_by_role("button", name="Following changes")).to_be_visible()
    page.wait_for_function("() => document.querySelector('.dot-live') !== null")
    keep_flashes(page)
    balance = f"{time.time_ns() % 10**6}.25"
    told = entity("user", "u-ana", balance=float(balance))
    service.post("/v1/graph/sync", {"entities": [told]})
    expect(page.get_by_role("main")).to_contain_text(balance)
    expect(page.locator("p.unseen[role=status]")).to_have_text("Ana Prado changed")
    # She flashes, nobody else does, and it ends.
    page.wait_for_function("() => window.flashes.length > 1 && window.flashes.at(-1) === ''")
    assert page.evaluate("window.flashes") == [ana, ""]

    service.post("/v1/graph/sync", {"entities": [entity("organization", "o-sul", city=balance)]})
    page.wait_for_function("() => window.flashes.length > 3 && window.flashes.at(-1) === ''")
    assert page.evaluate("window.flashes") == [ana, "", organisation, ""]


def keep_told(page: Page) -> None:
    """Keep what the status tells screen readers, one after the other, in window.told."""
    page.evaluate(
        """() => {
            const status = document.querySelector("p.unseen[role=status]");
            window.told = [];
            new MutationObserver(() => window.told.push(status.textContent))
                .observe(status, { childList: true, characterData: true, subtree: true });
        }"""
    )


def caught_up(page: Page, service: Service) -> None:
    """Return with a running feed that has told what was written before."""
    page.goto(service.url + "/#/live")
    until_live(page)
    reference = f"u-{uuid.uuid4().hex[:8]}"
    service.post("/v1/graph/sync", {"entities": [entity("user", reference)]})
    expect(page.locator(".event", has_text=reference).first).to_be_visible()


def keep_flashes(page: Page) -> None:
    """Keep whose flash the picture draws, from frame to frame, in window.flashes."""
    page.evaluate(
        """() => {
            const canvas = document.querySelector("canvas");
            window.flashes = [];
            new MutationObserver(() => window.flashes.push(canvas.dataset.flashing))
                .observe(canvas, { attributeFilter: ["data-flashing"] });
        }"""
    )


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
    caught_up(page, service)
    page.goto(service.url + f"/#/explore?property=email&value={reference}%40email.com")
    expect(page.get_by_role("heading", name="Davi Sol", exact=True)).to_be_visible()
    entity_id = page.locator(".stamps dd").first.inner_text()
    if place == "child":
        page.goto(service.url + f"/#/explore?type=user&reference={other}")
        expect(page.get_by_role("heading", name="Eva Mar", exact=True)).to_be_visible()
        page.get_by_role("tab", name="Relationships").click()
        page.get_by_role("button", name="Davi Sol").click()
        expect(page.get_by_role("heading", name="Davi Sol", exact=True)).to_be_visible()
    page.wait_for_function("() => document.querySelector('.dot-live') !== null")
    keep_told(page)
    service.delete(f"/v1/graph/{entity_id}")

    expect(page.get_by_role("heading", name=f"#{entity_id}", exact=True)).to_be_visible()
    assert f"#{entity_id} was erased" in " ".join(page.evaluate("window.told"))
    expect(page.get_by_text("no longer in the service")).to_be_visible()
    expect(page.get_by_role("treeitem")).to_have_attribute(
        "aria-label", re.compile(f"^user #{entity_id},.* erased$")
    )
    expect(page.get_by_text("0 entities" if place == "root" else "1 entities")).to_be_visible()
    if place == "child":
        press(page, "Home")  # the answer that held it
        expect(page.get_by_role("heading", name="Eva Mar", exact=True)).to_be_visible()
        page.get_by_role("tab", name="JSON").click()
        expect(page.locator("[data-raw]")).to_contain_text(other)
    # Neither what is seen, nor what is told to screen readers, nor the parent's JSON.
    html = page.get_by_role("main").inner_html()
    assert "Davi Sol" not in html
    page.get_by_role("link", name="Live").click()
    expect(page.locator(".event", has_text="entity_erased").first).to_contain_text(f"entity-{entity_id}")
    assert "Davi Sol" not in page.get_by_role("main").inner_html()


def test_operations_tells_what_the_roles_do(page: Page, service: LiveService) -> None:
    topic = service.settings.topics.temporal_data
    caught_up(page, service)  # so there are changes to capture
    page.get_by_role("link", name="Operations").click()
    row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name=topic, exact=True))
    expect(row.get_by_role("cell").nth(1)).to_have_text("0")  # lag
    total = int(row.get_by_role("cell").nth(2).inner_text().replace(",", ""))
    send_now(service, topic, [_point(day) for day in range(1, 21)])
    expect(row.get_by_role("cell").nth(2)).to_have_text(f"{total + 20:,}")
    expect(row.get_by_role("cell").nth(0)).to_have_text(re.compile("[1-9]"))  # records a second
    expect(row.get_by_role("cell").nth(1)).to_have_text("0")
    expect(page.get_by_role("rowheader", name=service.settings.topics.cdc, exact=True)).to_be_visible()

    def tile(label: str) -> Locator:
        card = page.locator(".tile").filter(has=page.get_by_text(label, exact=True))
        return card.locator(".tile-value")

    expect(tile("Records per second")).to_have_text(re.compile("[1-9]"))
    expect(tile("Lag, records")).to_have_text("0")
    for _ in range(2):
        answer = page.request.get(service.url + "/v1/graph/by-property/email/value/ana@email.com")
        assert answer.ok
    assert "hit" in answer.headers["cache-status"]
    expect(tile("Cache hits")).to_have_text(re.compile(r"^[1-9][\d.]* %$"))
    expect(tile("Replica lag")).to_have_text(re.compile(r"^[\d.]+ (B|kB)$"))
    expect(tile("Connector")).to_have_text("ok")
    expect(page.locator(".tile", has_text="Connector").locator(".tile-note")).to_contain_text("runs")
    expect(tile("Change capture lag")).to_have_text(re.compile(r"^[\d.]+ (ms|s)$"))


def _point(day: int) -> Message:
    body = {
        "entity_reference": "u-ana",
        "entity_type": "user",
        "property_type": "visits",
        "property_value": {"count": day},
        "property_reference_date": f"2025-07-{day:02}T00:00:00Z",
        "property_granularity": "day",
    }
    return Message(b"user:u-ana", json.dumps(body).encode(), int(time.time() * 1000))


def send_now(service: LiveService, topic: str, messages: list[Message]) -> None:
    with ThreadPoolExecutor(1) as beside:  # the browser's driver has this thread's event loop
        sent = send(service.settings.kafka_brokers, topic, messages, total=len(messages))
        beside.submit(asyncio.run, sent).result()


def test_a_real_dead_letter_is_told_and_sent_again(page: Page, service: LiveService) -> None:
    topic = service.settings.topics.temporal_data
    send_now(service, topic, [Message(b"user:u-ana", b"{broken", int(time.time() * 1000))])
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
