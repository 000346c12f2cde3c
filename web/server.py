"""The HTTP server: limits, loopback by default, a graceful stop."""

import asyncio
import contextlib
import ipaddress
import logging
import secrets
from http import HTTPStatus
from typing import Any, Final, Self

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD

from app.errors import FatalError
from app.settings import Settings
from web import problems, security_headers
from web.accesses import REQUEST_ID
from web.boundary import SERVER_NAME
from web.express import Express
from web.listener import Listener
from web.services import GATE, SERVICES

logger = logging.getLogger(__name__)

MAX_LINE_BYTES: Final = 8190  # of the request line
MAX_HEADER_BYTES: Final = (
    8192  # of one header with its name; another limit than the line's tells which one it was
)
MAX_HEADERS: Final = 128
KEEPALIVE_S: Final = 75.0
FIRST_REQUEST_S: Final = 30.0  # from the connection to the end of the first request's headers
LINGER_S: Final = 5.0  # how long the rest of a refused body is read
_FIRST_REQUEST_S: Final = 1.0  # how long a stop waits for the request of a client that has just connected
_CHECK_S: Final = 0.01
_TOO_MANY_HEADERS: Final = "Too many headers received"  # aiohttp has no class for it; a test holds the words


class WebServer:
    """Serves one application on one port, in the running event loop."""

    def __init__(
        self,
        application: web.Application,
        *,
        host: str = "127.0.0.1",
        port: int = 8888,
        allow_non_loopback: bool = False,
        reuse_port: bool = False,
        shutdown_timeout_s: float = 10.0,
    ) -> None:
        """`port` 0 takes a free one; `reuse_port` lets several processes share it."""
        self._application = application
        self._host = host
        self._port = port
        self._allow_non_loopback = allow_non_loopback
        self._reuse_port = reuse_port
        self._shutdown_timeout_s = shutdown_timeout_s
        self._runner: web.AppRunner | None = None
        self._listener: Listener | None = None

    @classmethod
    def from_settings(cls, application: web.Application, settings: Settings) -> Self:
        return cls(
            application,
            host=settings.web_host,
            port=settings.web_port,
            allow_non_loopback=settings.web_allow_non_loopback,
            reuse_port=settings.web_reuse_port,
            shutdown_timeout_s=settings.web_shutdown_timeout_s,
        )

    @property
    def port(self) -> int:
        """The port that is listened on; before the start, the one that was asked for."""
        return self._port if self._listener is None else self._listener.port

    async def start(self) -> None:
        """Listen. Raises FatalError where the host is not allowed or the port is taken."""
        self._application[GATE].listen(
            self._host, loopback=_is_loopback(self._host), allowed=self._allow_non_loopback
        )
        runner = _ProblemRunner(
            self._application,
            access_log=None,  # the boundary logs
            handle_signals=False,
            # A client that hangs up does not stop a write in the middle.
            handler_cancellation=False,
            shutdown_timeout=self._shutdown_timeout_s,
        )
        await runner.setup()
        server = runner.server
        assert server is not None  # noqa: S101 - it was set up
        listener = Listener(server, self._host, self._port, reuse_port=self._reuse_port)
        try:
            await listener.start()
        except OSError as error:
            await runner.cleanup()
            raise FatalError(
                f"The web server can't listen on {self._host}:{self._port} ({error.strerror}): stop what "
                "holds the port, or set PROFILE_WEB_PORT to a free one."
            ) from error
        self._runner, self._listener = runner, listener
        logger.info("listening on http://%s:%d", self._host, self.port)

    async def stop(self) -> None:
        """Stop accepting, serve who has connected, let requests finish within the time limit, close. Idempotent."""
        runner, self._runner = self._runner, None
        listener, self._listener = self._listener, None
        if runner is None or listener is None or runner.server is None:
            return
        await listener.stop()
        await _hear_the_last(runner.server)
        await runner.cleanup()


async def _hear_the_last(server: web.Server) -> None:
    """Return when those who connected last were heard, or said nothing for a moment."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_FIRST_REQUEST_S):
            # Looked at now and then, since requests are too many to set an event for each.
            while any(_awaits_first_request(each) for each in server.connections):  # noqa: ASYNC110
                await asyncio.sleep(_CHECK_S)


def _awaits_first_request(connection: web.RequestHandler) -> bool:
    return isinstance(connection, _ProblemHandler) and connection.awaits_first_request


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _broken(status: int, error: BaseException | None) -> tuple[str, str]:
    """Name the problem of a request that could not be parsed, and say what is wrong."""
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return "internal-error", "Something unexpected happened; nothing more is told here."
    if isinstance(error, LineTooLong):
        if error.args[1] == MAX_LINE_BYTES:
            return "uri-too-long", f"The request line is longer than {MAX_LINE_BYTES} bytes."
        return "headers-too-large", f"A header is longer than {MAX_HEADER_BYTES} bytes."
    if error is not None and error.args == (_TOO_MANY_HEADERS,):
        return "headers-too-large", f"The request has more than {MAX_HEADERS} headers."
    return "malformed-request", "The request is not well-formed HTTP."


class _ProblemRunner(web.AppRunner):
    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        assert self._app is not None  # noqa: S101 - an AppRunner has one
        return _ProblemServer(
            server.request_handler,
            express=Express(self._app[SERVICES], self._app[GATE]),
            request_factory=server.request_factory,
            handler_cancellation=server.handler_cancellation,
            loop=asyncio.get_running_loop(),
            access_log=None,
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_HEADER_BYTES,
            keepalive_timeout=KEEPALIVE_S,
            lingering_time=LINGER_S,
        )


class _ProblemServer(web.Server):
    def __init__(self, handler: Any, *, express: Express, **kwargs: Any) -> None:
        super().__init__(handler, **kwargs)
        self._express = express

    def __call__(self) -> web.RequestHandler:
        return _ProblemHandler(self, express=self._express, loop=self._loop, **self._kwargs)


class _ProblemHandler(web.RequestHandler):
    """One connection. What never becomes a request, or escapes the application, is answered as a problem too."""

    __slots__ = ("_closes_at_first", "_express", "_first_request")

    def __init__(self, manager: web.Server, *, express: Express, **kwargs: Any) -> None:
        super().__init__(manager, **kwargs)
        self._express = express

    def data_received(self, data: bytes) -> None:
        """Take what arrived; a read that can be answered from memory is answered here, where nothing else waits."""
        waiter = self._waiter
        if waiter is None or waiter.done() or self._messages or self._paused:
            super().data_received(data)
            return
        self._waiter = None  # what is parsed wakes nobody yet
        try:
            super().data_received(data)
        finally:
            self._waiter = waiter
        if len(self._messages) == 1 and self._answered_at_once(*self._messages[0]):
            self._messages.clear()
        elif self._messages and not waiter.done():
            waiter.set_result(None)

    def _answered_at_once(self, message: Any, payload: Any) -> bool:
        if payload is not EMPTY_PAYLOAD or not isinstance(message, RawRequestMessage) or message.upgrade:
            return False
        transport, parser, manager = self.transport, self._parser, self._manager
        if transport is None or parser is None or manager is None or self._force_close or self._close:
            return False
        try:
            response = self._express.answer(message)
        except Exception:  # noqa: BLE001 - it will meet the usual way again, which tells it
            return False
        if response is None:
            return False
        parser.message_consumed()
        manager.requests_count += 1
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        transport.write(response)
        return True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._closes_at_first = self._next_keepalive_close_time
        # aiohttp limits the time of idle connections alone, from their first answer on.
        self._first_request = self._loop.call_later(FIRST_REQUEST_S, self._close_if_silent)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._first_request.cancel()
        super().connection_lost(exc)

    def _close_if_silent(self) -> None:
        if self.awaits_first_request and self.transport is not None:
            self.transport.abort()

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
        request_id = secrets.token_hex(16)
        name, detail = _broken(status, exc)
        response = problems.response(
            name,
            detail,
            request_id=request_id,
            instance="/",
            headers={REQUEST_ID: request_id, "Server": SERVER_NAME, **security_headers.HEADERS},
        )
        response.force_close()
        return response
