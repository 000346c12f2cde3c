"""One connection: what can be answered from memory is answered as it arrives; aiohttp has all else.

What never becomes a request, or escapes the application, is answered as a problem too. No answer is made while the
client has not taken those before it: of what it does not read, a connection holds the transport's high-water mark and
one answer at most, and not for long (web.server.slow_clients). Where much arrives at once, it waits for its turn
(web.server.fair_share).
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from aiohttp import web
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD

from web.held_answers import PIECE_BYTES, HeldAnswers
from web.http.raw_response import TreeResponse
from web.server import malformed
from web.server.fair_share import Turns
from web.server.fast_path import Express
from web.server.slow_clients import Unread

if TYPE_CHECKING:
    from multidict import CIMultiDictProxy

logger = logging.getLogger(__name__)

FIRST_REQUEST_S: Final = 30.0  # from the connection to the end of the first request's headers

_END: Final = b"\r\n\r\n"
# Of bytes that no parser could take for anything but the target: no blank, no control, nothing beyond ASCII.
_REQUEST_LINE: Final = re.compile(rb"GET (/[!-~]{0,4000}) HTTP/1\.1\r\n")
_MAX_REMEMBERED_BYTES: Final = 2048


Unrouted = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """With clients that don't read: how long without taking anything, and for all of it."""

    stall_s: float
    longest_s: float


class ProblemServer(web.Server):
    """Makes a connection's protocol."""

    def __init__(
        self,
        handler: Any,
        *,
        express: Express,
        unrouted: Unrouted,
        patience: Patience,
        observe_wait: Callable[[float], None],
        held: HeldAnswers | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(handler, **kwargs)
        self._own: dict[str, Any] = {
            "express": express,
            "unrouted": unrouted,
            "patience": patience,
            "turns": Turns(self._loop, observe_wait),
            "held": held,
        }
        self.is_ending = False  # each answer from now on is its connection's last

    @property
    def count(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    def __call__(self) -> web.RequestHandler:
        return ProblemHandler(self, loop=self._loop, **self._own, **self._kwargs)


class ProblemHandler(web.RequestHandler):
    """The protocol of one connection.

    A client that keeps its connection sends the same headers again and again. Where the parser has read them once, and
    what arrives is one request line and the very same bytes, there is nothing left to parse but the target.
    """

    __slots__ = (
        "_answer_ends_at",
        "_arrived",
        "_block",
        "_closes_at_first",
        "_express",
        "_first_request",
        "_headers",
        "_held",
        "_holds",
        "_is_between",
        "_is_handling",
        "_patience",
        "_turns",
        "_unread",
        "_unrouted",
    )

    def __init__(
        self,
        manager: web.Server,
        *,
        express: Express,
        unrouted: Unrouted,
        patience: Patience,
        turns: Turns,
        held: HeldAnswers | None = None,
        **kwargs: Any,
    ) -> None:
        # Bodies are taken as they are: nothing that arrives has to be unpacked to be refused.
        super().__init__(manager, auto_decompress=False, **kwargs)
        self._express = express
        self._unrouted = unrouted
        self._patience = patience
        self._turns = turns
        self._held = held
        self._holds = 0  # bytes of answers that its client does not take
        self._answer_ends_at: float | None = (
            None  # by when the client has to have taken the answer that is written
        )
        self._arrived: bytes | None = None  # what waits for its turn
        self._is_handling = False  # a request took the usual way, and its answer is not written
        self._is_between = True  # the parser has seen whole requests without bodies, and nothing else
        self._block: bytes | None = None  # headers that may come again, with the empty line that ends them
        self._headers: CIMultiDictProxy[str] | None = None

    def data_received(self, data: bytes) -> None:
        """Take what arrived, now or in its turn; nothing, as aiohttp says, is what it has put off, and is due now."""
        if self._arrived is not None:
            self._take_arrived()
        elif data and not self._turns.may_answer():
            self._arrived = data
            self._turns.wait(self._take_arrived)
            return
        self._take(data)

    def eof_received(self) -> None:
        """The client has sent its last: its answer comes before the connection ends."""
        self._take_arrived()
        super().eof_received()

    def _take_arrived(self) -> None:
        """Take what waits for its turn, if it still does."""
        data, self._arrived = self._arrived, None
        if data is None:
            return
        try:
            self._take(data)
        except Exception as error:  # noqa: BLE001 - as the loop does, for this connection alone
            self.log_exception(exc_info=error)
            if self.transport is not None:
                self.transport.abort()

    def _take(self, data: bytes) -> None:
        """A read that can be answered from memory is answered here, where nothing else waits."""
        waiter = self._waiter
        # Without a waiter, and with nothing to handle, aiohttp's task has not begun to wait yet, or again.
        if self._is_handling or self._messages or self._paused or (waiter is not None and waiter.done()):
            self._is_between = False
            super().data_received(data)
            return
        was_between, self._is_between = self._is_between, False
        if was_between and self._answered_again(data):
            self._is_between = True
            return
        self._waiter = None  # what is parsed wakes nobody yet
        try:
            super().data_received(data)
        finally:
            self._waiter = waiter
        messages = self._messages
        if len(messages) == 1:
            message, payload = messages[0]
            if payload is EMPTY_PAYLOAD and isinstance(message, RawRequestMessage) and not message.upgrade:
                # It began between requests and ends with an end, of this one: the next would have come out as well.
                self._is_between = was_between and data.endswith(_END)
                if self._answered_at_once(message):
                    messages.clear()
                    self._remember(data, message)
                    return
        if messages and waiter is not None and not waiter.done():
            waiter.set_result(None)

    @property
    def _may_answer(self) -> bool:
        return (
            self.transport is not None
            and self._parser is not None
            and self._manager is not None
            and not self._is_ending
            and not self._force_close
            and not self._close
        )

    def _answered_at_once(self, message: RawRequestMessage) -> bool:
        if not self._may_answer:
            return False
        try:
            response = self._express.answer(message)
        except Exception:  # noqa: BLE001 - it will meet the usual way again, which tells it
            return False
        if response is None:
            return False
        assert self._parser is not None  # noqa: S101 - seen above
        self._parser.message_consumed()
        self._write(response)
        return True

    def _answered_again(self, data: bytes) -> bool:
        """Answer what arrived between requests, if it is one with the headers of before; the parser never sees it."""
        block, headers = self._block, self._headers
        if block is None or headers is None or not data.endswith(block):
            return False
        found = _REQUEST_LINE.fullmatch(data, 0, len(data) - len(block))
        if found is None or not self._may_answer:
            return False
        try:
            response = self._express.answer_again(found[1].decode(), headers)
        except Exception:  # noqa: BLE001 - as above
            return False
        if response is None:
            return False
        self._write(response)
        return True

    def _remember(self, data: bytes, message: RawRequestMessage) -> None:
        """Keep the headers of what was answered at once."""
        self._block = self._headers = None
        if not self._is_between or len(data) > _MAX_REMEMBERED_BYTES:
            return
        line, _, block = data.partition(b"\r\n")
        if block and _REQUEST_LINE.fullmatch(line + b"\r\n"):
            self._block, self._headers = block, message.headers

    def _write(self, response: bytes) -> None:
        assert self.transport is not None  # noqa: S101 - seen by who calls
        assert self._manager is not None  # noqa: S101
        self._manager.requests_count += 1
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        self.transport.write(response)

    def _handle_request(self, *args: Any) -> Coroutine[Any, Any, tuple[web.StreamResponse, bool]]:
        # Not a coroutine itself: from here on, and not from its first step on, its answer is due.
        self._is_handling = True
        return self._handled(*args)

    async def _handled(self, *args: Any) -> tuple[web.StreamResponse, bool]:
        if self._paused:
            await self._drain_helper()
            if self.transport is None:
                raise ConnectionResetError("The client went without reading what it was answered.")
        response, is_gone = await super()._handle_request(*args)
        # Else the connection is about to be closed.
        self._is_handling = is_gone or not response.keep_alive
        return response, is_gone

    def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> Coroutine[Any, Any, tuple[web.StreamResponse, bool]]:
        if isinstance(resp, web.HTTPException):  # of the router: no boundary lets one through
            return self._finish_unrouted(request, start_time)
        if self._is_ending and not resp.prepared:
            resp.force_close()
        tree: object = resp  # aiohttp knows responses of its own alone
        if isinstance(tree, TreeResponse) and tree.size_bytes > PIECE_BYTES:
            return self._finish_in_pieces(request, resp, start_time)
        return super().finish_response(request, resp, start_time)

    async def _finish_in_pieces(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Its limits are those of any answer, though the request is in work until its client has taken most of it."""
        self._answer_ends_at = self._loop.time() + self._patience.longest_s
        try:
            return await super().finish_response(request, resp, start_time)
        finally:
            self._answer_ends_at = None

    async def _finish_unrouted(
        self, request: web.BaseRequest, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        response = await self._unrouted(cast("web.Request", request))
        if self._is_ending:
            response.force_close()
        return await super().finish_response(request, response, start_time)

    def log_exception(self, *_: Any, **kwargs: Any) -> None:
        """Of a connection that broke, which a client can do at will: no trace, and no words of the client's."""
        logger.warning("closed a connection that broke: %s", type(kwargs.get("exc_info")).__name__)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert self.transport is not None  # noqa: S101 - it was just made
        self._unread = Unread(
            self.transport,
            self._loop,
            stall_s=self._patience.stall_s,
            longest_s=self._patience.longest_s,
        )
        assert self._task_handler is not None  # noqa: S101
        self._task_handler.add_done_callback(lambda _: self._watch_the_rest(self.transport))
        self._closes_at_first = self._next_keepalive_close_time
        # aiohttp limits the time of idle connections alone, from their first answer on.
        self._first_request = self._loop.call_later(FIRST_REQUEST_S, self._close_if_silent)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._first_request.cancel()
        super().connection_lost(exc)
        self._let_go()
        self._unread.leave()

    def _let_go(self) -> None:
        if self._held is not None:
            self._held.size_bytes -= self._holds
        self._holds = 0

    def pause_writing(self) -> None:
        super().pause_writing()
        # A handler that writes itself, as streams do, has limits of its own.
        if self._current_request is None or self._answer_ends_at is not None:
            self._unread.watch(self._answer_ends_at)
        if self.transport is None or self._held is None:
            return
        self._holds = self.transport.get_write_buffer_size()
        self._held.size_bytes += self._holds
        if self._held.is_over:
            logger.warning("closed a connection: answers that nobody takes have all the memory that they may")
            self.transport.abort()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._let_go()
        # One that closes has to be emptied, and may still hold a little.
        if self.transport is not None and not self.transport.is_closing():
            self._unread.leave()

    async def _drain_helper(self) -> None:
        # aiohttp keeps the future of somebody who gave up waiting, and would cancel whoever waits next with it.
        if self._drain_waiter is not None and self._drain_waiter.cancelled():
            self._drain_waiter = None
        await super()._drain_helper()

    def force_close(self) -> None:
        transport = self.transport
        is_open = transport is not None and not transport.is_closing()
        super().force_close()
        if is_open:
            self._watch_the_rest(transport)

    def _watch_the_rest(self, transport: asyncio.Transport | None) -> None:
        """Of a connection that is closed: that its client takes what is left."""
        if transport is not None and transport.get_write_buffer_size():
            self._unread.watch()

    def _close_if_silent(self) -> None:
        if self.awaits_first_request and self.transport is not None:
            self.transport.abort()

    @property
    def _is_ending(self) -> bool:
        return isinstance(self._manager, ProblemServer) and self._manager.is_ending

    @property
    def may_ask(self) -> bool:
        """Whether nothing of it is in work, so that its client may be about to ask, or just has."""
        return self._current_request is None and not self._messages

    @property
    def awaits_first_request(self) -> bool:
        """Whether nothing was asked yet; aiohttp moves the time at which it closes with each answer."""
        return self._current_request is None and self._next_keepalive_close_time == self._closes_at_first

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        logger.warning("answered %d to a broken request: %s", status, type(exc).__name__)
        if request.writer.output_size > 0:
            raise ConnectionError("The answer had begun when it broke.")
        response = malformed.answer(status, exc)
        response.force_close()
        return response
