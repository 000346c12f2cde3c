"""An answer to a read of the graph, written in one piece, or in several where it is large.

aiohttp makes, checks and serialises a dozen headers for each answer, which takes longer than to find the answer. This
stands in for its response on the busiest routes: it has what aiohttp's RequestHandler.finish_response uses of one,
and nothing else. tests/unit/web/http/test_raw_response.py holds the wire format, HTTP/1.0, HEAD and closing.
"""

import asyncio
import time
from email.utils import formatdate
from typing import Final, Literal

from aiohttp import HttpVersion10, web

from web.held_answers import PIECE_BYTES, HeldAnswers
from web.http.aiohttp_private import drained

Status = Literal[200, 304]

_LINES: Final = {200: "200 OK", 304: "304 Not Modified"}


class _Date:
    """The header Date, made once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._text = ""

    def now(self) -> str:
        second = int(time.time())
        if second != self._second:
            self._second, self._text = second, formatdate(second, usegmt=True)
        return self._text


DATE: Final = _Date()


class TreeResponse:
    """`headers`: whole lines, each with its CR LF, without Date, Content-Length and Connection.

    Whoever makes them keeps CR and LF out of their values.
    """

    __slots__ = ("_body", "_headers", "_held", "_is_last", "keep_alive", "prepared", "request_id", "status")

    def __init__(self, status: Status, headers: str, body: bytes, held: HeldAnswers | None = None) -> None:
        self.status: Status = status
        self.request_id = ""
        self.keep_alive: bool | None = None
        self.prepared = False
        self._is_last = False
        self._headers = headers
        self._body = body
        self._held = held

    @property
    def size_bytes(self) -> int:
        """Of the body."""
        return len(self._body)

    def force_close(self) -> None:
        """Tell the client that the connection ends with this answer."""
        self._is_last = True

    async def prepare(self, request: web.BaseRequest) -> None:
        """Write it all. Raises ConnectionError where the client is gone."""
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("The client is gone.")
        self.prepared = True
        self.keep_alive = keep_alive = request.keep_alive and not self._is_last
        connection = ""
        if request.version == HttpVersion10:
            connection = "Connection: keep-alive\r\n" if keep_alive else ""
        elif not keep_alive:
            connection = "Connection: close\r\n"
        body = self._body
        length = "" if self.status == 304 else f"Content-Length: {len(body)}\r\n"  # noqa: PLR2004 - HTTP's
        head = (
            f"HTTP/1.1 {_LINES[self.status]}\r\n{self._headers}X-Request-Id: {self.request_id}\r\n"
            f"{length}{connection}Date: {DATE.now()}\r\n\r\n"
        ).encode("latin-1")
        # Whether the client takes it is looked at before the next answer; see web.server.connection.
        if request.method == "HEAD":
            transport.write(head)
        elif len(body) <= PIECE_BYTES or self._held is None:
            transport.write(head + body)
        else:
            with self._held.one(len(body)):
                transport.write(head)
                await _write_in_pieces(request, transport, body)

    async def write_eof(self) -> None:
        """Everything was written."""


async def _write_in_pieces(request: web.BaseRequest, transport: asyncio.WriteTransport, body: bytes) -> None:
    """Each when the client has taken what came before. Raises ConnectionError where it is gone."""
    protocol, view = request.protocol, memoryview(body)
    for start in range(0, len(body), PIECE_BYTES):
        if transport.is_closing():
            raise ConnectionResetError("The client is gone.")
        transport.write(bytes(view[start : start + PIECE_BYTES]))
        await drained(protocol)
        await asyncio.sleep(0)
