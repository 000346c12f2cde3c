"""The Faust app: its settings, its transport, and the order in which things start and stop.

Stores open before anything reads from them and close after everything has stopped. The web server starts before
the consumer, so that /readyz tells what the worker waits for, and stops after it.
"""

import asyncio
import logging
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, Final, NoReturn

import faust
from faust.app.base import BootStrategy
from mode import Service

from app.config.kafka import KafkaSecurity
from app.config.settings import Settings
from app.core.errors import ProfileError
from app.core.log_events import LogEvent
from app.core.process import EX_CONFIG, EX_SOFTWARE
from app.kafka.unpacking import bound_unpacking
from app.observability import logs
from app.worker.bulk_transport import BulkTransport

logger = logging.getLogger(__name__)

FAUST_WEB_PORT: Final = 6066  # Faust refuses 0, which asks for a free one; so this stands for "not told"
_STOP_LIMIT_S: Final = 45.0
_BUFFERED_FETCHES: Final = 32  # events of the bulk transport; each holds up to `fetch_max_records`
_FETCHES_PER_PARTITION: Final = 5  # a smaller buffer of one topic blocks all of them


def terminate(code: int) -> NoReturn:
    """Leave at once: a graceful stop would commit offsets, and could wait for ever for what has failed."""
    logging.shutdown()
    sys.stderr.flush()
    os._exit(code)


class WebBoot(BootStrategy):  # type: ignore[misc]  # faust is untyped to mypy
    """Faust's own web server is replaced by ours; a worker with nothing but the web needs no Kafka."""

    def web_server(self) -> Iterable[Any]:
        return [self.app.web_service] if self.app.web_service is not None else []

    def producer_only(self) -> Iterable[Any]:
        return self.web_server()

    def kafka_producer(self) -> Iterable[Any]:
        return []  # dead letters and domain events have producers of their own


class ProfileApp(faust.App):  # type: ignore[misc]
    """A Faust app with our lifecycle."""

    BootStrategy = WebBoot
    web_service: Service | None = None
    opening: Callable[[], Awaitable[None]]
    closing: Callable[[], Awaitable[None]]
    draining: Callable[[], Awaitable[None]]
    stop_limit_s = _STOP_LIMIT_S

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._has_committed = asyncio.Event()  # for the last time, as the app stops

    async def on_start(self) -> None:
        """Open what agents and web use. Any failure ends the process with one line."""
        try:
            await self.opening()
        except ProfileError as error:
            logger.critical("The worker can't start: %s", error, extra=LogEvent.WORKER_START_FAILED.extra)
            terminate(EX_CONFIG)
        await super().on_start()

    async def on_stop(self) -> None:
        """Flush open windows while the consumer can still commit them, then stop it.

        Faust waits for acknowledgements without a bound. What hangs is not committed, and comes again.
        """
        asyncio.get_running_loop().call_later(self.stop_limit_s, self._stop_took_too_long)
        await self.draining()
        await super().on_stop()

    def _stop_took_too_long(self) -> None:
        logger.critical(
            "The worker did not stop within %.0f s and is ended, without committing.",
            self.stop_limit_s,
            extra=LogEvent.WORKER_STOP_TIMED_OUT.extra,
        )
        terminate(EX_SOFTWARE)

    async def _stop_consumer(self) -> None:
        try:
            await super()._stop_consumer()
        finally:
            self._has_committed.set()

    async def _on_partitions_revoked(self, revoked: Any) -> None:
        """Hold a rebalance that begins while the app stops until its offsets are committed.

        Faust closes the client here, and the stop then waits for ever for a commit through it. So it went where two
        workers of a group were stopped at once, since each one that leaves begins a rebalance.
        """
        if self.should_stop:
            await self._has_committed.wait()
        else:
            await super()._on_partitions_revoked(revoked)

    async def _on_partitions_assigned(self, assigned: Any, generation_id: int = 0) -> None:
        if not self.should_stop:
            await super()._on_partitions_assigned(assigned, generation_id)

    async def on_shutdown(self) -> None:
        await super().on_shutdown()
        await self.closing()


def _credentials(security: KafkaSecurity) -> Any:
    """In Faust's words; None where the brokers ask for nothing."""
    context = security.tls()
    if security.uses_sasl:
        return faust.SASLCredentials(
            username=security.username,
            password=security.password,
            ssl_context=context,
            mechanism=security.mechanism,
        )
    return None if context is None else faust.SSLCredentials(context)


def web_address(app: ProfileApp, settings: Settings) -> tuple[str, int]:
    """Host and port: `faust worker -p 8889 -b 127.0.0.1`, or `--web-host`, changes the app's configuration."""
    conf = app.conf
    host = conf.web_host if conf.web_bind == settings.web_host else conf.web_bind
    return host, settings.web_port if conf.web_port == FAUST_WEB_PORT else conf.web_port


def build(settings: Settings, *, process: str | None = None) -> ProfileApp:
    """The app of one set of roles: its id is the consumer group. `process` is the name that its log gives."""
    bound_unpacking(settings.fetch_max_unpacked_bytes)
    app = ProfileApp(
        settings.group_id,
        broker=";".join(f"kafka://{broker}" for broker in settings.kafka_brokers),
        broker_credentials=_credentials(settings.kafka.security),
        autodiscover=False,  # it only warns where a module can't be imported, and an agent is gone
        web_enabled=True,
        web_bind=settings.web_host,
        web_host=settings.web_host,
        web_port=settings.web_port or FAUST_WEB_PORT,
        # Faust makes it; without tables nothing is written there.
        datadir=str(Path(tempfile.gettempdir()) / f"faust-{settings.group_id}"),
        topic_disable_leader=True,
        topic_allow_declare=False,
        table_standby_replicas=0,
        consumer_auto_offset_reset="earliest",
        # A worker that was killed holds its partitions for so long; Faust's default is a minute.
        broker_session_timeout=10.0,
        broker_heartbeat_interval=3.0,
        broker_commit_interval=settings.commit_interval_s,
        broker_max_poll_records=settings.fetch_max_records,
        stream_buffer_maxsize=max(_BUFFERED_FETCHES, _FETCHES_PER_PARTITION * settings.topic_partitions),
        stream_wait_empty=True,
        logging_config=logs.config(settings.log_format, process=process),
        key_serializer="raw",
        value_serializer="raw",
    )
    app.transport = BulkTransport(app.conf.broker_consumer, app)
    return app
