"""Profile Explorer in a real browser, against a real worker."""

import re

import pytest
from playwright.sync_api import BrowserContext, Page, Response, expect

from tests.e2e.ui.conftest import Service
from tests.e2e.ui.steps import heading, is_selected, open_ana, press, tree

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

MOST_BYTES = 300_000


def test_finds_by_each_way(page: Page) -> None:
    page.get_by_label("Property", exact=True).fill("city")
    page.get_by_label("Value", exact=True).fill("Recife")
    page.get_by_role("button", name="Search").click()
    heading(page, "Bia Reis")
    bia = page.locator(".stamps dd").first.inner_text()

    page.get_by_label("Search by").select_option("reference")
    page.get_by_label("Type", exact=True).fill("user")
    page.get_by_label("Reference", exact=True).fill("u-ana")
    page.keyboard.press("Enter")
    heading(page, "Ana Prado")

    page.get_by_label("Search by").select_option("id")
    page.get_by_label("Id", exact=True).fill(bia)
    page.keyboard.press("Enter")
    heading(page, "Bia Reis")
    page.go_back()
    heading(page, "Ana Prado")


def test_leads_through_several_results(page: Page, service: Service) -> None:
    page.goto(service.url + "/#/explore?property=city&value=Natal")
    heading(page, "Twin One")
    page.get_by_role("button", name="Next result").click()
    heading(page, "Twin Two")
    expect(page.get_by_text("2 of 2")).to_be_visible()


def test_walks_collapses_and_expands_by_keyboard(page: Page, service: Service) -> None:
    open_ana(page, service)
    assert tree(page) == "user Ana Prado, 1 relationships"
    press(page, "ArrowRight")
    is_selected(page, "organization Sul Ltda, via member_of")
    press(page, "ArrowDown")
    is_selected(page, "user Bia Reis, via employs, Enter loads its relationships")
    press(page, "Home", "ArrowLeft")
    expect(page.get_by_role("treeitem")).to_have_attribute("aria-expanded", "false")
    press(page, "ArrowDown")
    is_selected(page, "user Ana Prado")
    press(page, "ArrowRight", "ArrowDown")
    is_selected(page, "organization Sul Ltda")


def test_loads_below_the_last_level_and_marks_what_is_repeated(page: Page, service: Service) -> None:
    open_ana(page, service)
    expect(page.get_by_text("3 entities")).to_be_visible()
    press(page, "End", "Enter")
    expect(page.get_by_text("4 entities")).to_be_visible()
    is_selected(page, "user Bia Reis, via employs, 2 relationships")
    press(page, "ArrowDown")
    labels = {tree(page)}
    press(page, "ArrowDown")
    labels.add(tree(page))
    assert "user Ana Prado, via friend_of, shown in full elsewhere" in labels
    press(page, *(["ArrowUp"] if not tree(page).startswith("user Ana") else []))
    page.get_by_role("button", name="Go to where it is in full").click()
    is_selected(page, "user Ana Prado")


def test_is_moved_and_pressed_with_a_pointer(page: Page, service: Service) -> None:
    open_ana(page, service)
    press(page, "End")
    page.wait_for_timeout(400)  # what moves comes to rest
    bia = page.get_by_role("treeitem").bounding_box()
    press(page, "Home")
    assert bia is not None
    page.wait_for_timeout(400)
    page.mouse.click(bia["x"] + 40, bia["y"] + bia["height"] / 2)
    is_selected(page, "user Bia Reis")
    page.mouse.move(bia["x"] + 60, bia["y"] + 200)
    page.mouse.down()
    page.mouse.move(bia["x"] - 40, bia["y"] + 150, steps=4)
    page.mouse.up()
    page.wait_for_timeout(400)
    moved = page.get_by_role("treeitem").bounding_box()
    assert moved is not None
    assert (round(moved["x"] - bia["x"]), round(moved["y"] - bia["y"])) == (-100, -50)
    page.mouse.wheel(0, -300)
    page.wait_for_timeout(400)
    larger = page.get_by_role("treeitem").bounding_box()
    assert larger is not None
    assert larger["width"] > moved["width"] * 1.3


def test_depth_and_period_ask_again(page: Page, service: Service) -> None:
    open_ana(page, service)
    with page.expect_response(re.compile(r"depth=3")):
        page.get_by_label("Depth").press("ArrowRight")
    expect(page.get_by_text("4 entities")).to_be_visible()
    with page.expect_response(re.compile(r"period=2025-05-01T00%3A00%3A00Z")):
        page.get_by_label("Time series from").fill("2025-05-01")
    page.get_by_role("tab", name="Time series").click()
    page.get_by_role("button", name="month").click()
    expect(page.get_by_text("2 points")).to_be_visible()


def test_charts_by_key_and_granularity(page: Page, service: Service) -> None:
    open_ana(page, service)
    page.get_by_role("tab", name="Time series").click()
    page.get_by_role("button", name="month").click()
    amount = page.locator('[data-series="amount"]')
    expect(amount.locator("rect")).to_have_count(6)
    expect(amount.locator("output")).to_have_text("2450.0")  # as it was stored, not 2450
    orders = page.locator('[data-series="orders"] svg')
    orders.focus()
    orders.press("ArrowLeft")
    orders.press("ArrowLeft")
    expect(orders).to_have_attribute("aria-label", "orders: May 2025, 5")
    page.get_by_role("button", name="day").click()
    expect(amount.locator("output")).to_have_text("7")


def test_shows_the_answer_and_the_curl_line(page: Page, service: Service) -> None:
    open_ana(page, service)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("tab", name="JSON").click()
    assert '"value": 10.5,' in page.locator("[data-raw]").inner_text()
    page.get_by_role("button", name="Copy", exact=True).first.click()
    expect(page.get_by_text("Copied")).to_be_visible()
    line = page.evaluate("navigator.clipboard.readText()")
    path = re.fullmatch(r"curl 'http://[^/]+(/v1/graph/\d+\?depth=2)'", line)
    assert path
    assert page.request.get(service.url + path[1]).json()["reference"] == "u-ana"


def test_operations_shows_the_workers_state(page: Page) -> None:
    page.route("**/v1/dead-letters?*", lambda route: route.fulfill(status=404))
    page.get_by_role("link", name="Operations").click()
    expect(page.get_by_text("Ready", exact=True)).to_be_visible()
    for name in ("postgres-primary", "postgres-replica-1", "redis"):
        expect(page.get_by_role("listitem").filter(has_text=name)).to_contain_text("answer")
    expect(page.locator(".tile", has_text="Memory").locator(".tile-value")).to_have_text(re.compile(r"\d MB"))
    expect(page.locator(".tile", has_text="Cache hits")).to_contain_text("%")
    expect(page.get_by_text("In a terminal: python -m app dlq list")).to_be_visible()


def test_replays_a_dead_letter(page: Page, service: Service) -> None:
    """On an answer that is made up; tests/e2e/ui/test_live.py replays a real one."""
    letter = {
        "id": "temporal-data/1/42",
        "topic": "temporal-data",
        "partition": 1,
        "offset": 42,
        "timestamp": None,
        "error": "not-json",
        "reason": "Broken.",
        "key": {"text": "user:1"},
    }
    page.route("**/v1/dead-letters?*", lambda route: route.fulfill(json=[letter]))
    page.route(
        "**/v1/dead-letters/temporal-data/1/42/replay", lambda route: route.fulfill(status=202, json={})
    )
    page.goto(service.url + "/#/operations")
    page.get_by_role("button", name="Replay temporal-data/1/42").click()
    with page.expect_request("**/replay") as sent:
        page.get_by_role("button", name="Replay", exact=True).click()
    assert sent.value.method == "POST"
    expect(page.get_by_text("Sent again")).to_be_visible()


def test_goes_where_it_is_led_while_it_starts(context: BrowserContext, service: Service) -> None:
    page = context.new_page()
    # Right after the page's script: before the first frame is drawn.
    page.add_init_script("addEventListener('DOMContentLoaded', () => (location.hash = '#/operations'))")
    page.goto(service.url + "/")
    heading(page, "Operations")


@pytest.mark.parametrize("context", [{"locale": "pt-BR"}], indirect=True)
def test_speaks_portuguese_and_keeps_what_was_chosen(page: Page) -> None:
    expect(page.get_by_role("heading", name="Abra um perfil")).to_be_visible()
    assert page.locator("html").get_attribute("lang") == "pt"
    page.get_by_role("button", name="English").click()
    page.get_by_role("button", name="Colours: as the system").click()
    page.get_by_role("button", name="Colours: light").click()
    page.reload()
    heading(page, "Open a profile")
    assert page.locator("html").get_attribute("data-theme") == "dark"


def test_first_load_is_small_and_cached(context: BrowserContext, service: Service) -> None:
    page = context.new_page()
    answers: list[Response] = []

    def keep(answer: Response) -> None:
        answers.append(answer)

    page.on("response", keep)
    page.goto(service.url + "/", wait_until="networkidle")
    assert sum(answer.request.sizes()["responseBodySize"] for answer in answers) < MOST_BYTES
    assert all(answer.url.startswith(service.url) for answer in answers)
    caching = {answer.url.rpartition("/")[2]: answer.headers["cache-control"] for answer in answers}
    assert caching.pop("") == "no-cache"
    assert len(caching) >= 2
    assert set(caching.values()) == {"public, max-age=31536000, immutable"}
