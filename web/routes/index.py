"""`/` and `/problems/…`: where a visitor finds the way."""

from typing import Final

import msgspec
from aiohttp import web

from web.openapi.links import INDEX
from web.problems import PROBLEMS, ProblemError
from web.routes.page import BUILD_IT, PAGE, wants_html

_HEADERS: Final = {
    "Content-Type": "application/json",
    "Cache-Control": "no-cache",
}


_INDEX: Final = msgspec.json.encode(INDEX)
_INDEX_WITHOUT_PAGE: Final = msgspec.json.encode({**INDEX, "page": BUILD_IT})


async def index(request: web.Request) -> web.Response:
    """Profile Explorer for browsers; for all others the routes, as URI templates (RFC 6570)."""
    page = request.app[PAGE]
    if page.built and wants_html(request.headers.get("Accept", "")):
        return page.index(request)
    body = _INDEX if page.built else _INDEX_WITHOUT_PAGE
    return web.Response(body=body, headers={**_HEADERS, "Vary": "Accept"})


async def problem(request: web.Request) -> web.Response:
    """What a problem's `type` means."""
    found = PROBLEMS.get(request.match_info["name"])
    if found is None:
        raise ProblemError("not-found", "There is no problem of this name; GET / lists them.")
    body = {
        "type": found.type,
        "title": found.title,
        "status": found.status,
        "meaning": found.meaning,
    }
    return web.Response(body=msgspec.json.encode(body), headers=_HEADERS)
