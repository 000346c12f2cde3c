"""The HTTP server as a part of a worker with the role web."""

import contextlib
import logging
from typing import TYPE_CHECKING, Any

from mode import Service

from app.core.clock import SystemClock
from app.core.consistency_token import Tokens
from app.core.errors import FatalError
from app.core.log_events import LogEvent
from app.core.process import EX_SOFTWARE
from app.observability import metrics
from app.worker.faust_app import FAUST_WEB_PORT, terminate

if TYPE_CHECKING:
    from app.worker.worker import Worker

logger = logging.getLogger(__name__)


class WebService(Service):  # type: ignore[misc]  # mode is untyped to mypy
    """Our HTTP server as a service of the worker."""

    def __init__(self, worker: "Worker", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._worker = worker
        self._server: Any = None

    async def on_start(self) -> None:
        from web.application import WebServices  # noqa: PLC0415 — a role imports its own parts alone
        from web.application import build as build_web  # noqa: PLC0415
        from web.server.server import WebServer  # noqa: PLC0415

        worker = self._worker
        conf = worker.app.conf
        # `faust worker -p 8889 -b 127.0.0.1`, or `--web-host`, changes the app's configuration.
        told = worker.settings
        settings = told.model_copy(
            update={
                "web_port": told.web_port if conf.web_port == FAUST_WEB_PORT else conf.web_port,
                "web_host": conf.web_host if conf.web_bind == told.web_host else conf.web_bind,
            }
        )
        services = WebServices(
            reader=worker.stores.reader,
            writer=worker.shared_writer(),
            preview=worker.stores.preview,
            eraser=worker.stores.eraser,
            letters=worker.letter_sweep(),
            exporter=worker.stores.exporter,
            directory=worker.stores.directory,
            entities=worker.stores.entities,
            provenance=worker.stores.provenance,
            feed=worker.change_feed(),
            letter_box=worker.letter_box(),
            tokens=Tokens(lambda: worker.stores.database),
            position=worker.stores.position,
            probes=worker.probes(),
            clock=SystemClock(),
            metrics=metrics.exposition,
            observe=metrics.HTTP_TIMES.observe,
            keys=await worker.key_ring(),
            observe_express=metrics.HTTP_TIMES.observe_express,
            observe_wait=metrics.HTTP_WAIT_SECONDS.observe,
        )
        self._server = WebServer.from_settings(build_web(services, settings), settings)
        try:
            await self._server.start()
        except FatalError as error:
            logger.critical("The worker can't start: %s", error, extra=LogEvent.WORKER_START_FAILED.extra)
            terminate(EX_SOFTWARE)

    async def on_stop(self) -> None:
        if self._server is not None:
            with contextlib.suppress(Exception):
                await self._server.stop()
