"""The HTTP server: limits, loopback by default, a graceful stop."""

import asyncio
import contextlib
import logging
import resource
from typing import Any, Final, Self

import aiohttp
from aiohttp import web

from app.config.settings import Settings
from app.config.store_settings import DEFAULT_ERASURE_KEY
from app.core.errors import FatalError
from app.core.network import is_loopback
from web.http import aiohttp_private
from web.server.connection import Patience, ProblemHandler, ProblemServer
from web.server.fast_path import Express
from web.server.listener import Listener
from web.server.malformed import MAX_HEADER_BYTES, MAX_LINE_BYTES
from web.services import GATE, HELD, SERVICES, SETTINGS, UNROUTED

logger = logging.getLogger(__name__)

KEEPALIVE_S: Final = 75.0
LINGER_S: Final = 5.0  # how long the rest of a refused body is read
_LAST_REQUEST_S: Final = 1.0  # how long a stop waits for the next request of those who are connected
_CHECK_S: Final = 0.01
_OWN_DESCRIPTORS: Final = 256  # of pools, Redis, Kafka, files


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
        settings = self._application[SETTINGS]
        is_for_all = not is_loopback(self._host)
        if is_for_all and settings.erasure_key.get_secret_value() == DEFAULT_ERASURE_KEY:
            raise FatalError(
                f"The web server does not listen on {self._host or 'all hosts'}: PROFILE_ERASURE_KEY is the default, "
                "under which anybody can find out who was erased. Set it to 32 random characters (`openssl rand -hex "
                "16`) before the first erasure and keep it; or set PROFILE_WEB_HOST=127.0.0.1."
            )
        self._application[GATE].listen(
            self._host, loopback=is_loopback(self._host), allowed=self._allow_non_loopback
        )
        runner = _ProblemRunner(
            self._application,
            access_log=None,  # the boundary logs
            handle_signals=False,
            # A client that hangs up does not stop a write in the middle.
            handler_cancellation=False,
            shutdown_timeout=self._shutdown_timeout_s,
            auto_decompress=False,
            **_limits(),
        )
        await runner.setup()
        server = runner.server
        assert server is not None  # noqa: S101 - it was set up
        most = _most_connections(self._application[SETTINGS].web_max_connections)
        listener = Listener(
            server,
            self._host,
            self._port,
            reuse_port=self._reuse_port,
            has_room=lambda: _count(server) < most,
        )
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
        if isinstance(runner.server, ProblemServer):
            runner.server.is_ending = True
            await _hear_the_last(runner.server)
        await runner.cleanup()


def _limits() -> dict[str, Any]:
    """Of a connection, whichever class it has."""
    return {
        "max_line_size": MAX_LINE_BYTES,
        "max_field_size": MAX_HEADER_BYTES,
        "keepalive_timeout": KEEPALIVE_S,
        "lingering_time": LINGER_S,
    }


def _count(server: web.Server) -> int:
    return server.count if isinstance(server, ProblemServer) else len(server.connections)


def _most_connections(wanted: int) -> int:
    """As many as there are descriptors for, but for those that the process itself needs."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if allowed == resource.RLIM_INFINITY else min(wanted, max(1, allowed - _OWN_DESCRIPTORS))
    if most < wanted:
        logger.info("%d connections are the most: the limit of open files (ulimit -n) is %d", most, allowed)
    return most


async def _hear_the_last(server: ProblemServer) -> None:
    """Return when nobody is connected who may be about to ask, or after a moment.

    Who asks meanwhile is answered and told that the connection ends. One that is closed under a client may be closed
    upon its next request, which it can't know was not done.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LAST_REQUEST_S):
            # Looked at now and then, since requests are too many to set an event for each.
            while any(_may_ask(each) for each in server.connections):  # noqa: ASYNC110
                await asyncio.sleep(_CHECK_S)


def _may_ask(connection: web.RequestHandler) -> bool:
    return isinstance(connection, ProblemHandler) and connection.may_ask


class _ProblemRunner(web.AppRunner):
    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        if lacking := aiohttp_private.lacking(server):
            logger.warning(
                "aiohttp %s lacks %s: the server runs on its plain connections, which answer reads from memory "
                "at a third of the speed. Install the version of requirements.lock.",
                aiohttp.__version__,
                ", ".join(lacking),
            )
            return server
        assert self._app is not None  # noqa: S101 - an AppRunner has one
        services, settings = self._app[SERVICES], self._app[SETTINGS]
        return ProblemServer(
            server.request_handler,
            express=Express(services, self._app[GATE], of_which_one=settings.web_access_sample),
            unrouted=self._app[UNROUTED],
            # A download takes as long as its reader does, and no answer longer than a download.
            patience=Patience(
                stall_s=settings.web_request_timeout_s, longest_s=settings.web_export_timeout_s
            ),
            observe_wait=services.observe_wait,
            held=self._app[HELD],
            request_factory=server.request_factory,
            handler_cancellation=server.handler_cancellation,
            loop=asyncio.get_running_loop(),
            access_log=None,
            **_limits(),
        )
