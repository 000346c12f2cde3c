"""`/openapi.json`, and `/docs`: Swagger UI, from its package on this server.

The page runs no inline script and asks no other host; its policy allows nothing else.
"""

import asyncio
import hashlib
import importlib.util
import zlib
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from aiohttp import web

from app.core.errors import FatalError
from web.http.responses import accepts_gzip, unless_known
from web.openapi.document import document
from web.problems import ProblemError
from web.services import GATE

_GZIP_WBITS: Final = 31
_PAGE: Final = b"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>User Profile</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
<link rel="icon" type="image/png" href="/docs/favicon-32x32.png">
</head>
<body>
<main id="swagger-ui"></main>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
_START: Final = b"""SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
  queryConfigEnabled: false,
  tryItOutEnabled: true
});
"""
# Swagger UI writes style attributes; scripts and data come from here alone.
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "Cache-Control": "no-cache",
    "Vary": "Accept-Encoding",
    "Content-Security-Policy": _POLICY,
}
_FILES: Final = {
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "favicon-32x32.png": "image/png",
}


class _Asset(NamedTuple):
    media_type: str
    body: bytes
    gzipped: bytes
    etag: str


async def openapi(request: web.Request) -> web.Response:
    """The API's description, as it holds now: an open server asks for no key."""
    return _answer(request, await asyncio.to_thread(_described, not request.app[GATE].closed))


async def page(request: web.Request) -> web.Response:
    """The description as an interactive page."""
    return _answer(request, await asyncio.to_thread(_made, "text/html", _PAGE))


async def asset(request: web.Request) -> web.Response:
    """What the page is made of."""
    name = request.match_info["asset"]
    if name == "start.js":
        return _answer(request, await asyncio.to_thread(_made, "text/javascript", _START))
    if name not in _FILES:
        raise ProblemError("not-found", "The page has no such file.")
    return _answer(request, await asyncio.to_thread(_packaged, name))


def _answer(request: web.Request, found: _Asset) -> web.Response:
    headers = {**_HEADERS, "ETag": f'W/"{found.etag}"'}
    known = unless_known(request)
    if known is not None and known(found.etag):
        return web.Response(status=304, headers=headers)
    body = found.body
    if accepts_gzip(request.headers.get("Accept-Encoding", "")):
        body = found.gzipped
        headers["Content-Encoding"] = "gzip"
    return web.Response(body=body, headers={**headers, "Content-Type": found.media_type})


@cache
def _described(is_open: bool) -> _Asset:
    return _made("application/json", document(is_open=is_open))


@cache
def _packaged(name: str) -> _Asset:
    spec = importlib.util.find_spec("swagger_ui")  # finds without importing: its code is not used
    if spec is None or spec.origin is None:
        raise FatalError("The package swagger-ui-py is not installed.")
    return _made(_FILES[name], (Path(spec.origin).parent / "static" / name).read_bytes())


@cache
def _made(media_type: str, body: bytes) -> _Asset:
    if media_type.startswith("text/"):
        media_type = f"{media_type}; charset=utf-8"
    tag = hashlib.blake2b(body, digest_size=12).hexdigest()
    return _Asset(media_type, body, zlib.compress(body, 6, _GZIP_WBITS), tag)
