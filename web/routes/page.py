"""Profile Explorer, the page at `/`: what `make ui` built, served from memory."""

import gzip
import hashlib
import logging
import mimetypes
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from aiohttp import web

from web.http.responses import accepts_gzip
from web.problems import ProblemError

logger = logging.getLogger(__name__)

STATIC: Final = Path(__file__).parents[1] / "static"
BUILD_IT: Final = "The page was not built: run `make ui` and start the worker again."

# Nothing from elsewhere, nothing inline. The answers of the API are data to the page, never code.
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_SAFETY: Final = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # an address may hold somebody's e-mail address
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_INDEX_CACHING: Final = "no-cache"
_ASSET_CACHING: Final = "public, max-age=31536000, immutable"  # their names hold a hash of the content
_TEXT: Final = ("text/", "application/javascript", "image/svg+xml")


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    content: bytes
    compressed: bytes | None
    content_type: str
    etag: str
    caching: str

    @classmethod
    def read(cls, path: Path, caching: str) -> Self:
        content = path.read_bytes()
        content_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        is_text = content_type.startswith(_TEXT)
        return cls(
            content=content,
            compressed=gzip.compress(content, 9, mtime=0) if is_text else None,
            content_type=f"{content_type}; charset=utf-8" if is_text else content_type,
            etag=hashlib.sha256(content).hexdigest()[:16],
            caching=caching,
        )

    def answer(self, request: web.Request) -> web.Response:
        wanted = request.if_none_match or ()
        headers = {
            **_SAFETY,
            "Cache-Control": self.caching,
            "Vary": "Accept, Accept-Encoding",
        }
        if any(tag.value in (self.etag, "*") for tag in wanted):
            response = web.Response(status=304, headers=headers)
        elif self.compressed is not None and accepts_gzip(request.headers.get("Accept-Encoding", "")):
            response = web.Response(body=self.compressed, headers={**headers, "Content-Encoding": "gzip"})
        else:
            response = web.Response(body=self.content, headers=headers)
        response.headers["Content-Type"] = self.content_type
        # Weak: it is the same for the content and its compressed form.
        response.headers["ETag"] = f'W/"{self.etag}"'
        return response


class Page:
    """The built page; `built` is false where there is none."""

    def __init__(self, static: Path = STATIC) -> None:
        index = static / "index.html"
        self._index = _File.read(index, _INDEX_CACHING) if index.is_file() else None
        self._assets = (
            {
                path.name: _File.read(path, _ASSET_CACHING)
                for path in sorted((static / "assets").iterdir())
                if path.is_file()
            }
            if self._index is not None
            else {}
        )
        if self._index is None:
            logger.info("%s", BUILD_IT)

    @property
    def built(self) -> bool:
        return self._index is not None

    def index(self, request: web.Request) -> web.Response:
        """The page itself; only where it is built."""
        assert self._index is not None  # noqa: S101 - the caller asked
        return self._index.answer(request)

    def asset(self, request: web.Request) -> web.Response:
        """A file that the page names."""
        found = self._assets.get(request.match_info["name"])
        if found is None:
            raise ProblemError(
                "not-found", "The page has no such file; reload it: it may have been built again."
            )
        return found.answer(request)


def wants_html(accept: str) -> bool:
    """Whether a header Accept names HTML, as browsers do and `*/*` does not."""
    for part in accept.split(","):
        kind, _, parameters = part.partition(";")
        if kind.strip().lower() in ("text/html", "application/xhtml+xml"):
            return not any(
                parameter.strip().lower() in ("q=0", "q=0.0") for parameter in parameters.split(";")
            )
    return False


PAGE: Final = web.AppKey("page", Page)


async def page_asset(request: web.Request) -> web.Response:
    """What Profile Explorer is made of."""
    return request.app[PAGE].asset(request)
