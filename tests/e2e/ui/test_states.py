"""What the page shows while it waits, where something fails, and when the key changes."""

import json

import pytest
from playwright.sync_api import Page, Route, expect

from tests.e2e.ui.conftest import Service
from tests.e2e.ui.steps import ANA, Held, heading, open_ana, press

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def test_says_that_it_loads(page: Page, service: Service) -> None:
    held = Held(page, "**/v1/graph/**")
    page.goto(service.url + ANA)
    expect(page.get_by_role("status").filter(has_text="Loading")).to_be_visible()
    expect(page.locator("[aria-busy=true]")).to_be_visible()
    expect(page.get_by_role("treeitem")).to_have_count(0)
    held.route.continue_()
    heading(page, "Ana Prado")
    expect(page.get_by_text("Loading")).to_have_count(0)

    held = Held(page, "**/v1/graph/**")
    press(page, "End", "Enter")  # below the last level
    expect(page.get_by_role("status").filter(has_text="Loading")).to_be_visible()
    expect(page.locator(".picture")).to_have_attribute("aria-busy", "true")
    expect(page.get_by_text("3 entities")).to_be_visible()
    held.route.continue_()
    expect(page.get_by_text("4 entities")).to_be_visible()
    expect(page.get_by_text("Loading")).to_have_count(0)

    held = Held(page, "**/metrics")
    page.get_by_role("link", name="Operations").click()
    expect(page.get_by_role("status").filter(has_text="Loading")).to_be_visible()
    held.route.continue_()
    expect(page.locator(".tile").first).to_be_visible()


def test_says_what_went_wrong(page: Page, service: Service) -> None:
    page.goto(service.url + "/#/explore?id=999999")
    expect(page.get_by_role("alert")).to_contain_text("There is no entity with this id.")
    expect(page.get_by_role("alert")).to_contain_text("HTTP 404")
    page.goto(service.url + "/#/explore?property=city&value=Nowhere")
    expect(page.get_by_text("No entity has city = Nowhere.")).to_be_visible()
    page.route("**/v1/graph/**", lambda route: route.abort())
    page.goto(service.url + "/#/explore?id=1")
    expect(page.get_by_role("alert")).to_contain_text("The service does not answer")
    page.unroute("**/v1/graph/**")
    page.goto(service.url + ANA)
    heading(page, "Ana Prado")


@pytest.mark.parametrize(
    ("status", "sentence"), [(401, "The service wants an API key"), (403, "lacks the scope")]
)
def test_asks_for_a_key_and_sends_it(page: Page, service: Service, status: int, sentence: str) -> None:
    """The service has no keys yet: what stands before it here refuses as it will."""

    def guard(route: Route) -> None:
        if route.request.headers.get("authorization") == "Bearer secret":
            return route.continue_()
        body = json.dumps({"title": "No", "status": status, "detail": ""})
        return route.fulfill(status=status, content_type="application/problem+json", body=body)

    page.route("**/v1/graph/**", guard)
    page.goto(service.url + ANA)
    expect(page.get_by_role("alert")).to_contain_text(sentence)
    page.get_by_role("button", name="API key").click()
    page.get_by_role("dialog").get_by_label("API key").fill("secret")
    page.keyboard.press("Enter")
    heading(page, "Ana Prado")
    assert page.evaluate("[localStorage.length, Object.values(sessionStorage).includes('secret')]")[1]
    assert "secret" not in page.evaluate("JSON.stringify(localStorage) + location.href + document.cookie")


def test_what_a_key_had_shown_goes_with_it(page: Page, service: Service) -> None:
    """What stands before the service answers whoever has the key."""
    asked: list[str | None] = []

    def feed(route: Route) -> None:
        asked.append(route.request.headers.get("authorization"))
        if asked[-1] is None:
            return route.fulfill(status=401, json={"title": "No", "status": 401})
        event = {"event_idempotency_key": "k", "data": {"type": "user", "reference": "u-secret"}}
        body = f"id: 0-1\nevent: entity_created\ndata: {json.dumps(event)}\n\n"
        return route.fulfill(content_type="text/event-stream", body=body)

    page.goto(service.url + ANA)
    heading(page, "Ana Prado")
    page.get_by_role("button", name="API key").click()
    page.get_by_role("dialog").get_by_label("API key").fill("secret")
    page.keyboard.press("Enter")
    page.goto(service.url + "/#/explore?property=city&value=Recife")
    heading(page, "Bia Reis")
    page.route("**/v1/events", feed)
    page.get_by_role("link", name="Live").click()
    expect(page.locator(".event", has_text="u-secret")).to_be_visible()

    page.get_by_role("button", name="API key is set").click()
    page.get_by_role("button", name="Remove").click()
    expect(page.get_by_role("alert")).to_contain_text("wants an API key")
    expect(page.locator(".event")).to_have_count(0)
    assert asked[0] == "Bearer secret"
    page.get_by_role("link", name="Explore", exact=True).click()
    heading(page, "Open a profile")
    expect(page.get_by_role("link", name="joao@email.com")).to_be_visible()  # an example again
    expect(page.get_by_text("Recife")).to_have_count(0)
    assert page.evaluate("sessionStorage.length") == 0


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (404, "no change feed: GET /v1/events answered 404"),
        (503, "not available now"),
        (401, "wants an API key"),
    ],
)
def test_live_view_says_why_nothing_comes(page: Page, status: int, sentence: str) -> None:
    page.route("**/v1/events", lambda route: route.fulfill(status=status))
    page.get_by_role("link", name="Live").click()
    expect(page.get_by_role("alert")).to_contain_text(sentence)


def test_live_view_does_not_claim_to_listen_while_it_does_not(page: Page) -> None:
    page.route("**/v1/events", lambda route: route.abort())
    page.get_by_role("link", name="Live").click()
    expect(page.get_by_role("status").filter(has_text="trying again")).to_be_visible()
    expect(page.get_by_role("heading", name="No event yet")).to_be_visible()
    expect(page.locator(".beat")).to_have_count(0)
    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".notice-quiet")).to_contain_text("paused")
    expect(page.locator(".notice-quiet")).not_to_contain_text("within a second")


def test_operations_says_since_when_nothing_answers(page: Page) -> None:
    page.get_by_role("link", name="Operations").click()
    expect(page.locator(".verdict")).to_have_text("Ready")
    page.route("**/readyz", lambda route: route.abort())
    expect(page.get_by_role("alert").first).to_contain_text("The service does not answer")
    expect(page.locator(".verdict")).to_have_text("No answer")
    since = page.get_by_text("No answer since").inner_text()
    with page.expect_request("**/readyz"):
        pass
    with page.expect_request("**/readyz"):
        pass
    assert page.get_by_text("No answer since").inner_text() == since
    page.unroute("**/readyz")
    expect(page.locator(".verdict")).to_have_text("Ready")


def test_more_results_come_once_and_do_not_hide_what_is_there(page: Page, service: Service) -> None:
    """On answers that are made up: the second page is refused, then slow."""
    first, second = (
        [{"id": number, "type": "user", "reference": f"u-{number}", "properties": {}, "edges": []}]
        for number in (1, 2)
    )
    link = {"Link": '</v1/graph/by-property/a/value/b?cursor=c>; rel="next"'}
    page.route("**/v1/graph/by-property/**", lambda route: route.fulfill(json=first, headers=link))
    held = Held(page, "**/v1/graph/by-property/**cursor=c")
    page.goto(service.url + "/#/explore?property=a&value=b")
    heading(page, "u-1")
    page.get_by_role("button", name="More results").click()
    expect(page.get_by_role("button", name="Loading…")).to_be_disabled()
    held.route.fulfill(status=503, json={"title": "Busy", "status": 503, "detail": "Come back."})
    expect(page.get_by_role("alert")).to_contain_text("Come back.")
    heading(page, "u-1")
    held = Held(page, "**/v1/graph/by-property/**cursor=c")
    page.get_by_role("button", name="More results").click()
    expect(page.get_by_role("button", name="Loading…")).to_be_disabled()
    held.route.fulfill(json=second)
    expect(page.get_by_text("1 of 2")).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)


def test_the_keyboard_stays_somewhere(page: Page, service: Service) -> None:
    """Also where the button that was pressed goes away."""
    open_ana(page, service)
    page.get_by_role("button", name="API key").press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.get_by_role("button", name="Cancel").press("Enter")
    expect(page.get_by_role("button", name="API key")).to_be_focused()
    press(page, "End")
    page.get_by_role("button", name="Load relationships").press("Enter")
    expect(page.get_by_text("4 entities")).to_be_visible()
    expect(page.get_by_role("tree")).to_be_focused()
