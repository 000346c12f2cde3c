"""The HTTP server as a part of a worker with the role web."""

import contextlib
import logging
from typing import TYPE_CHECKING, Any

from mode import Service

from app.config.settings import Settings
from app.core.errors import FatalError
from app.core.log_events import LogEvent
from app.core.process import EX_SOFTWARE
from app.worker.faust_app import ProfileApp, terminate, web_address

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from web.services import WebServices

logger = logging.getLogger(__name__)


class WebService(Service):  # type: ignore[misc]  # mode is untyped to mypy
    """Our HTTP server as a service of the worker. `open_services` gives what its handlers use, once it starts."""

    def __init__(
        self,
        app: ProfileApp,
        settings: Settings,
        open_services: "Callable[[], Awaitable[WebServices]]",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._app = app
        self._settings = settings
        self._open_services = open_services
        self._server: Any = None

    async def on_start(self) -> None:
        from web.application import build as build_web  # noqa: PLC0415 — a role imports its own parts alone
        from web.server.server import WebServer  # noqa: PLC0415

        host, port = web_address(self._app, self._settings)
        settings = self._settings.model_copy(update={"web_host": host, "web_port": port})
        self._server = WebServer.from_settings(build_web(await self._open_services(), settings), settings)
        try:
            await self._server.start()
        except FatalError as error:
            logger.critical("The worker can't start: %s", error, extra=LogEvent.WORKER_START_FAILED.extra)
            terminate(EX_SOFTWARE)

    async def on_stop(self) -> None:
        if self._server is not None:
            with contextlib.suppress(Exception):
                await self._server.stop()
