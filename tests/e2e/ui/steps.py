"""What the tests of the page do again and again."""

import re

from playwright.sync_api import Page, Route, expect

from tests.e2e.ui.conftest import Service

_LOOKS = 500
ANA = "/#/explore?property=email&value=ana%40email.com&depth=2"


def tree(page: Page) -> str:
    """What a screen reader is told of the node that is selected."""
    return page.get_by_role("treeitem").get_attribute("aria-label") or ""


def press(page: Page, *keys: str) -> None:
    page.get_by_role("tree").focus()
    for key in keys:
        page.keyboard.press(key)


def is_selected(page: Page, start: str) -> None:
    expect(page.get_by_role("treeitem")).to_have_attribute("aria-label", re.compile(f"^{re.escape(start)}"))


def heading(page: Page, name: str) -> None:
    expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()


def open_ana(page: Page, service: Service) -> None:
    page.goto(service.url + ANA)
    heading(page, "Ana Prado")


class Held:
    """Keeps the next request to `pattern` waiting until it is told what becomes of it."""

    def __init__(self, page: Page, pattern: str) -> None:
        self._page = page
        self._routes: list[Route] = []
        page.route(pattern, self._take, times=1)

    def _take(self, route: Route) -> None:
        self._routes.append(route)

    @property
    def route(self) -> Route:
        # The page says that it loads a moment before its request is known here.
        for _ in range(_LOOKS):
            if self._routes:
                break
            self._page.wait_for_timeout(20)
        return self._routes.pop()
