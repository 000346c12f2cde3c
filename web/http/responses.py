"""Answers to reads: Cache-Status, ETag, 304 and gzip.

The ETag is the reader's, of the content and what was asked; it is weak, since gzip changes the bytes. `no-cache` lets
a client keep an answer and ask with If-None-Match whether it still holds, which is told without making the body.
"""

import asyncio
import re
import zlib
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from aiohttp import web
from multidict import istr

from app.core.clock import Clock
from app.core.consistency_token import HEADER as TOKEN
from app.core.consistency_token import Tokens
from app.ports.graph import Answer
from web.held_answers import PIECE_BYTES
from web.http import security_headers
from web.http.guard import CACHE_OUTCOME, SERVER_NAME
from web.http.raw_response import TreeResponse
from web.services import HELD, WebServices

GZIP_FROM_BYTES: Final = 1024
ACCEPT_ENCODING: Final = istr("Accept-Encoding")
_GZIP_IN_THREAD_FROM_BYTES: Final = 64 * 1024
_GZIP_LEVEL: Final = 1  # JSON trees shrink well already; higher levels cost more than they save here
_GZIP_WBITS: Final = 31
_FOREVER: Final = float("inf")

_CODING: Final = re.compile(r"\s*([\w*-]+)\s*(?:;\s*q\s*=\s*([0-9.]+))?\s*", re.ASCII)
_BASE: Final = (
    f"Server: {SERVER_NAME}\r\nCache-Control: no-cache\r\nVary: Accept-Encoding\r\n{security_headers.LINES}"
)


@lru_cache(maxsize=16)
def _cache_status(outcome: str, stored: bool, verified: bool) -> str:
    parts = ["user-profile", "hit" if outcome == "hit" else f"fwd={outcome}"]
    if stored and outcome != "hit":
        parts.append("stored")
    if not verified:
        parts.append("detail=unverified")
    return "; ".join(parts)


@lru_cache(maxsize=64)
def accepts_gzip(accept_encoding: str) -> bool:
    """Whether the header Accept-Encoding asks for gzip, by name or by `*`, with a weight above 0."""
    weights: dict[str, float] = {}
    for part in accept_encoding.split(","):
        match = _CODING.fullmatch(part)
        if match is None:
            continue
        try:
            weights[match[1].lower()] = float(match[2]) if match[2] else 1.0
        except ValueError:
            continue
    return weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0))) > 0


def unless_known(request: web.Request) -> Callable[[str], bool] | None:
    """Whether the client has the answer of a tag already; None where it does not ask."""
    given = request.headers.getall("If-None-Match", ())
    if not given:
        return None
    if_none_match = ",".join(given)  # a list may come in several lines
    # Tags are compared weakly; ours has no characters that could occur within another one's quotes.
    return lambda etag: f'"{etag}"' in if_none_match or if_none_match.strip() == "*"


async def _gzip(body: bytes) -> bytes:
    if len(body) < _GZIP_IN_THREAD_FROM_BYTES:
        return zlib.compress(body, _GZIP_LEVEL, _GZIP_WBITS)
    return await asyncio.to_thread(zlib.compress, body, _GZIP_LEVEL, _GZIP_WBITS)


class Lines:
    """The headers of an answer but for those that differ each time, and its compressed body, once it was made."""

    __slots__ = ("gzip", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.gzip: bytes | None = None


def lines_of(answer: Answer, tokens: Tokens) -> Lines:
    """Made once for each answer."""
    memo = answer.memo
    if isinstance(memo, Lines):
        return memo
    status = _cache_status(answer.cache, answer.stored, answer.verified)
    token = f"{TOKEN}: {tokens.spell(answer.upper)}\r\n" if answer.upper else ""
    etag = f'ETag: W/"{answer.etag}"\r\n' if answer.etag else ""
    kind = "" if answer.body is None else "Content-Type: application/json\r\n"
    text = f"{_BASE}Cache-Status: {status}\r\n{token}{etag}{kind}"
    answer.memo = lines = Lines(text)
    return lines


def age(answer: Answer, clock: Clock) -> str:
    """The header of what came from a cache."""
    if answer.cache != "hit" or answer.read_at == _FOREVER:
        return ""
    return f"Age: {max(0, int(clock.epoch_s() - answer.read_at))}\r\n"


async def respond(
    request: web.Request, answer: Answer, services: WebServices, *, link: str | None = None
) -> TreeResponse:
    """Answer a read with what the reader says; without a tag, as of a POST, it can't be conditional."""
    lines = lines_of(answer, services.tokens)
    headers, body = lines.text, answer.body
    request[CACHE_OUTCOME] = answer.cache
    if link is not None:
        headers += f"Link: {link}\r\n"
    if body is None:
        return TreeResponse(304, headers, b"")
    headers += age(answer, services.clock)
    if len(body) >= GZIP_FROM_BYTES:
        accept_encoding = request.headers.get(ACCEPT_ENCODING)
        if accept_encoding is not None and accepts_gzip(accept_encoding):
            if lines.gzip is None:
                lines.gzip = await _gzip(body)
            body = lines.gzip
            headers += "Content-Encoding: gzip\r\n"
    if len(body) <= PIECE_BYTES:
        return TreeResponse(200, headers, body)
    held = request.app[HELD]
    held.require_room(len(body))
    return TreeResponse(200, headers, body, held)
