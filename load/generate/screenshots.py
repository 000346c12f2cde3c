"""`screenshots`: pictures of Profile Explorer's views, of what a running worker holds.

Needs Chromium on PATH. Pictures are WebP where cwebp is on PATH, else PNG.
"""

import argparse
import asyncio
import os
import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from playwright.sync_api import Browser, Page, sync_playwright
from playwright.sync_api import Error as BrowserError

from app.config.settings import Settings
from app.core.signing import Signer
from app.feed import cursor
from load import own_key
from load.errors import LoadError
from storage.stores import Stores

_FLAGS: Final = ("--headless=new", "--no-sandbox", "--disable-gpu")
_BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome")
_PATIENCE_MS: Final = 60_000
_EARLIER: Final = 40  # events of each partition
_REST_MS: Final = 1_200  # what moves comes to rest, and rates need two readings


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shot:
    name: str
    path: str
    ready: str  # a selector of what is there when the view is
    dark: bool = False
    size: tuple[int, int] = (1440, 900)
    before: Callable[[Page, str], object] = lambda _page, _url: None
    prepare: Callable[[Page], object] = lambda _page: None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--url", default="http://127.0.0.1:8888", help="the worker (default %(default)s)")
    parser.add_argument("--email", default="joao@email.com", help="whose profile (default %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("docs/images"), help="folder (default %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Take the pictures and print their paths and sizes."""
    browser_path = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if browser_path is None:
        raise LoadError("The pictures need Chromium: apt-get install chromium.")
    own_key.use_own_key()
    args.out.mkdir(parents=True, exist_ok=True)
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=browser_path, args=list(_FLAGS))
            for shot in _shots(args.email):
                picture = _take(browser, args.url, shot, args.out)
                print(f"{picture}  {picture.stat().st_size / 1000:,.0f} kB")
            browser.close()
    except BrowserError as error:
        raise LoadError(
            f"The page did not show what was expected ({error.message.splitlines()[0]}): does a worker with the "
            f"built page answer on {args.url}, and does it hold {args.email}? `make demo` starts one."
        ) from error
    return 0


def _shots(email: str) -> list[_Shot]:
    profile = f"/#/explore?property=email&value={quote(email)}"
    return [
        _Shot(name="explore", path=profile, ready="role=treeitem"),
        _Shot(
            name="series-dark",
            path=profile,
            ready="role=treeitem",
            dark=True,
            prepare=lambda page: page.locator("#tab-series").click(),
        ),
        _Shot(name="live", path="/#/live", ready=".event", before=_from_earlier),
        _Shot(name="operations", path="/#/operations", ready=".dependencies", prepare=_watch),
        _Shot(name="small", path=profile, ready="role=treeitem", size=(390, 844)),
    ]


def _from_earlier(page: Page, url: str) -> None:
    """Let the page's feed begin with the last events that there were, since nobody writes now."""
    topic = Settings().topics.domain_events
    request = urllib.request.Request(f"{url}/v1/events", headers=own_key.headers())  # noqa: S310 - see below
    with urllib.request.urlopen(request, timeout=_PATIENCE_MS / 1000) as stream:  # noqa: S310 - http: who calls says where the worker is
        now = next(line[4:].strip() for line in stream if line.startswith(b"id: "))
    signer = asyncio.run(_signer())
    ends = cursor.decode(signer, topic, now.decode())
    earlier = cursor.encode(signer, topic, {number: max(0, end - _EARLIER) for number, end in ends.items()})
    page.route(
        "**/v1/events",
        lambda route: route.continue_(headers={**route.request.headers, "last-event-id": earlier}),
    )


async def _signer() -> Signer:
    """That of the workers of this database."""
    stores = await Stores.open(Settings().model_copy(update={"roles": [], "cache_enabled": False}))
    try:
        return Signer(await stores.keys.signing_key())
    finally:
        await stores.close()


def _watch(page: Page) -> None:
    page.wait_for_timeout(20_000)  # the lines of the tiles grow with each reading


def _take(browser: Browser, url: str, shot: _Shot, out: Path) -> Path:
    width, height = shot.size
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if shot.dark else "light",
        locale="en-GB",
    )
    context.set_default_timeout(_PATIENCE_MS)
    page = context.new_page()
    shot.before(page, url)
    if own_key.VARIABLE in os.environ:
        page.goto(f"{url}/#key={os.environ[own_key.VARIABLE]}")  # the page keeps it for its tab
    page.goto(url + shot.path)
    page.locator(shot.ready).first.wait_for(state="attached")
    shot.prepare(page)
    page.wait_for_timeout(_REST_MS)
    with tempfile.TemporaryDirectory() as scratch:
        png = Path(scratch) / f"{shot.name}.png"
        page.screenshot(path=png)
        context.close()
        return _keep(png, out)


def _keep(png: Path, out: Path) -> Path:
    if shutil.which("cwebp") is None:
        return Path(shutil.copy(png, out / png.name))
    webp = out / f"{png.stem}.webp"
    subprocess.run(["cwebp", "-quiet", "-q", "86", "-m", "6", str(png), "-o", str(webp)], check=True)
    return webp
