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

from app.ports import Answer
from app.tokens import HEADER as TOKEN
from web.boundary import CACHE_OUTCOME, SERVER_NAME
from web.services import WebServices
from web.tree_response import TreeResponse

GZIP_FROM_BYTES: Final = 1024
_GZIP_IN_THREAD_FROM_BYTES: Final = 64 * 1024
_GZIP_LEVEL: Final = 1  # JSON trees shrink well already; higher levels cost more than they save here
_GZIP_WBITS: Final = 31
_FOREVER: Final = float("inf")

_CODING: Final = re.compile(r"\s*([\w*-]+)\s*(?:;\s*q\s*=\s*([0-9.]+))?\s*", re.ASCII)
_BASE: Final = (
    f"Server: {SERVER_NAME}\r\nCache-Control: no-cache\r\nVary: Accept-Encoding\r\n"
    "X-Content-Type-Options: nosniff\r\n"
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
    if_none_match = request.headers.get("If-None-Match")
    if if_none_match is None:
        return None
    # Tags are compared weakly; ours has no characters that could occur within another one's quotes.
    return lambda etag: f'"{etag}"' in if_none_match or if_none_match.strip() == "*"


async def _gzip(body: bytes) -> bytes:
    if len(body) < _GZIP_IN_THREAD_FROM_BYTES:
        return zlib.compress(body, _GZIP_LEVEL, _GZIP_WBITS)
    return await asyncio.to_thread(zlib.compress, body, _GZIP_LEVEL, _GZIP_WBITS)


async def respond(
    request: web.Request, answer: Answer, services: WebServices, *, link: str | None = None
) -> TreeResponse:
    """Answer a read with what the reader says; without a tag, as of a POST, it can't be conditional."""
    body = answer.body
    headers = f"{_BASE}Cache-Status: {_cache_status(answer.cache, answer.stored, answer.verified)}\r\n"
    request[CACHE_OUTCOME] = answer.cache
    if link is not None:
        headers += f"Link: {link}\r\n"
    if answer.upper:
        headers += f"{TOKEN}: {services.tokens.spell(answer.upper)}\r\n"
    if answer.etag:
        headers += f'ETag: W/"{answer.etag}"\r\n'
        known = unless_known(request)
        if body is None or (known is not None and known(answer.etag)):
            return TreeResponse(304, headers, b"")
    if answer.cache == "hit" and answer.read_at < _FOREVER:
        headers += f"Age: {max(0, int(services.clock.now().timestamp() - answer.read_at))}\r\n"
    headers += "Content-Type: application/json\r\n"
    body = body or b""
    if len(body) >= GZIP_FROM_BYTES:
        accept_encoding = request.headers.get("Accept-Encoding")
        if accept_encoding is not None and accepts_gzip(accept_encoding):
            body = await _gzip(body)
            headers += "Content-Encoding: gzip\r\n"
    return TreeResponse(200, headers, body)
