"""The composition root: the one place that knows every part and puts a worker together.

A worker has the roles of PROFILE_ROLES. Only their agents are registered; each set of roles is a consumer group. Where
it has several processes (app.worker.processes), this is one of them, with a part of the roles.
"""

import asyncio
import importlib
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NoReturn

from app.config.settings import Role, Settings
from app.core.api_keys import Rate
from app.core.clock import SystemClock
from app.core.consistency_token import Tokens
from app.core.errors import FatalError
from app.core.failpoints import Hooks
from app.core.log_events import LogEvent
from app.core.process import EX_SOFTWARE, Terminate
from app.core.records import Offsets, Partition
from app.core.retry import RetryPolicy
from app.core.signing import Signer
from app.dead_letters.policy import DeadLetterPolicy
from app.dead_letters.queue import KafkaLetterBox
from app.dead_letters.sink import KafkaDeadLetters
from app.dead_letters.store import DeadLetterStore
from app.erasure.at_log_ends import ErasureAtLogEnds
from app.erasure.guarded_sink import ErasureAwareLetters
from app.erasure.sweeper import LetterSweep
from app.feed.feed import ChangeFeed
from app.feed.log import KafkaEventLog
from app.ingest.consumer_loop import ConsumerLoop
from app.ingest.processor import IngestProcessor
from app.ingest.progress import ProgressWatch
from app.ingest.suspects import Suspects, Turns
from app.ingest.window import WindowLimits
from app.kafka.admin import create_topics
from app.kafka.broker_clock import BrokerClock
from app.kafka.log_ends import KafkaLogEnds
from app.kafka.retention import LogRetention
from app.kafka.topic_configs import KafkaTopicConfigs
from app.observability import metrics, tracing
from app.observability.readiness import Readiness
from app.ports.health import Probe
from app.worker import gc_tuning
from app.worker.background import AuditWatch, PlaceholderWatch
from app.worker.clock_watch import ClockWatch
from app.worker.deletion_watch import watch_deletions
from app.worker.faust_app import ProfileApp, build, terminate
from app.worker.first_key import make_first_key
from app.worker.loop_watch import LoopWatch
from app.worker.processes.participant import Participant
from app.worker.starting import wait_for
from app.worker.web import WebService
from storage.postgres.migrator import require_current
from storage.stores import Stores
from storage.write.group_commit import SharedWriter

if TYPE_CHECKING:
    from datetime import datetime

    from app.ports.processing import RecordProcessor
    from app.worker.cdc import CdcParts
    from app.worker.processes.member import Member
    from web.auth.api_key_cache import KeyRing
    from web.services import WebServices

logger = logging.getLogger(__name__)

_INGESTING: Final = {
    Role.ENTITIES_EDGES: ("agents.entities_edges", "EntitiesEdges"),
    Role.ENTITY_PROPERTIES: ("agents.entity_properties", "EntityProperties"),
    Role.TEMPORAL_DATA: ("agents.temporal_data", "TemporalData"),
}


class Worker:
    """One process: a Faust app, and what its roles need. `member` says which it is, where its worker has several."""

    def __init__(
        self, settings: Settings, *, leave: Terminate = terminate, member: "Member | None" = None
    ) -> None:
        self.settings = settings
        self._member = member
        self._others = None if member is None else self._participant(member)
        self._leave = leave
        self._clock = SystemClock()
        self._hooks = Hooks(settings.hooks, settings.hooks_hold)
        self._resources = AsyncExitStack()
        if settings.otel_endpoint is not None:
            stop = tracing.start(
                settings.otel_endpoint,
                ratio=settings.otel_sample_ratio,
                instance=f"{settings.group_id}-{os.getpid()}",
            )
            self._resources.callback(stop)
        self._stores: Stores | None = None
        self._loops: dict[Role, ConsumerLoop] = {}
        self._turns = Turns()
        self._progress: ProgressWatch | None = None
        self._clocks: ClockWatch | None = None
        self._cdc: CdcParts | None = None
        self._connector: Probe | None = None
        self.app = self._faust_app()

    @property
    def stores(self) -> Stores:
        if self._stores is None:
            raise FatalError("The stores are not open yet.")
        return self._stores

    def _faust_app(self) -> ProfileApp:
        roles = self.settings.roles
        app = build(self.settings, process=None if self._member is None else self._member.name)
        app.opening, app.draining, app.closing = self._open, self._drain, self._close
        if Role.WEB in roles:
            app.web_service = WebService(app, self.settings, self._web_services)
        # Reads depend on PostgreSQL and Redis alone.
        app.producer_only = roles == [Role.WEB]
        for role in roles:
            if role is not Role.WEB:
                self._register_agent(app, role)
        return app

    def _topic(self, role: Role) -> str:
        topics = self.settings.topics
        return {
            Role.ENTITIES_EDGES: topics.entities_edges,
            Role.ENTITY_PROPERTIES: topics.entity_properties,
            Role.TEMPORAL_DATA: topics.temporal_data,
            Role.CDC: topics.cdc,
        }[role]

    def _register_agent(self, app: ProfileApp, role: Role) -> None:
        async def agent(stream: Any) -> None:
            events: AsyncIterator[Any] = stream.noack().events()
            async for event in events:
                await self._loops[role].add(event)
            if not app.should_stop:
                # Faust would acknowledge what comes now and never deliver it.
                logger.critical(
                    "The stream of %s ended while the worker runs", role, extra=LogEvent.STREAM_ENDED.extra
                )
                self._leave(EX_SOFTWARE)

        topic = app.topic(self._topic(role), key_serializer="raw", value_serializer="raw")
        app.agent(topic, name=str(role), concurrency=1)(agent)

    async def _open(self) -> None:
        """Open the stores and make the loops. Raises FatalError where a dependency does not come up."""
        settings = self.settings
        self._background(LoopWatch(metrics.LOOP_LATE_SECONDS.observe).run(), "loop-watch")
        if self._others is not None:
            await self._others.start()
            self._resources.push_async_callback(self._others.close)
        await wait_for("PostgreSQL", lambda: require_current(settings.read_dsn.get_secret_value()))
        self._stores = await wait_for("PostgreSQL", lambda: Stores.open(settings, hooks=self._hooks))
        self._resources.push_async_callback(self._stores.close)
        metrics.STORES.figures = self._stores.figures
        if Role.WEB in settings.roles and settings.audit_interval_s:
            self._watch_cache()
        if settings.placeholder_interval_s:
            self._watch_placeholders()
        self._background(watch_deletions(settings, self._stores).run(), "deletions")
        consuming = [role for role in settings.roles if role is not Role.WEB]
        if consuming:
            await wait_for("Kafka", lambda: create_topics(settings.kafka, settings.topic_specs))
        if Role.CDC in consuming:
            from app.worker.cdc import CdcParts  # noqa: PLC0415 — a role imports its own parts alone

            self._cdc = CdcParts(settings, self._stores, self._resources, self._clock, self._hooks)
            await self._cdc.begin_notes()
            self._cdc.keep_segments_short()
        for role in consuming:
            self._loops[role] = self._loop(role)
            self._loops[role].start()
        if consuming:
            self._watch_progress()
        if self._cdc is not None:
            self._cdc.start_repeater(self._leave)
            self._connector = self._cdc.watch_connector()
        self._end_topics([role for role in consuming if role is not Role.CDC])
        self._watch_clocks(with_broker=bool(consuming))
        gc_tuning.settle()
        if self._others is not None:
            self._others.is_running = True

    def _participant(self, member: "Member") -> Participant:
        # Another process with the web tells nothing that this one does not know.
        watches = self._watches if Role.WEB not in self.settings.roles else list
        return Participant(member, metrics=self._own_metrics, watches=watches)

    def _own_metrics(self) -> tuple[bytes, str]:
        process = None if self._member is None else self._member.name
        return metrics.exposition(process=process, with_cdc=Role.CDC in self.settings.roles)

    async def _metrics(self) -> tuple[bytes, str]:
        return self._own_metrics() if self._others is None else await self._others.metrics_of_all()

    def _background(self, work: Coroutine[Any, Any, NoReturn], name: str) -> None:
        """Run until the worker's resources close."""
        self._resources.callback(asyncio.create_task(work, name=name).cancel)

    def _loop(self, role: Role) -> ConsumerLoop:
        settings = self.settings
        dead_letters = ErasureAwareLetters(self._dead_letters(), self.stores.erasures)
        policy = DeadLetterPolicy(
            max_ratio=settings.dead_letter_max_ratio,
            min_records=settings.dead_letter_min_records,
            max_run=settings.dead_letter_max_run,
        )
        processor: RecordProcessor
        if self._cdc is not None and role is Role.CDC:
            processor = self._cdc.processor(dead_letters, policy)
        else:
            module, name = _INGESTING[role]
            decoder = getattr(importlib.import_module(module), name)(settings)
            processor = IngestProcessor(
                decoder, self.stores.writer, dead_letters, policy, max_rows=settings.window_max_rows
            )
        return ConsumerLoop(
            str(role),
            processor,
            limits=WindowLimits(
                max_records=settings.window_max_records,
                max_bytes=settings.window_max_bytes,
                linger_s=settings.window_linger_s,
            ),
            retries=RetryPolicy(attempts=settings.flush_max_attempts),
            flush_timeout_s=settings.flush_timeout_s,
            clock=self._clock,
            terminate=self._leave,
            progress_timeout_s=settings.progress_timeout_s,
            # Domain events have an order; what is written to PostgreSQL needs none.
            flushes=1 if role is Role.CDC else settings.flushes_in_flight,
            suspects=Suspects(
                self.stores.attempts,
                dead_letters,
                self._turns,
                span=settings.window_max_records * (settings.flushes_in_flight + 1),
            ),
            hooks=self._hooks,
        )

    def _dead_letters(self) -> KafkaDeadLetters:
        dead_letters = KafkaDeadLetters(self.settings.kafka)
        self._resources.push_async_callback(dead_letters.close)
        return dead_letters

    def _watch_progress(self) -> None:
        def offsets() -> Mapping[Partition, Offsets]:
            found: Mapping[Partition, Offsets] = self.app.consumer.offsets()
            return found

        metrics.CONSUMER_LAG.offsets = offsets
        self._progress = ProgressWatch(offsets, limit_s=self.settings.progress_timeout_s, clock=self._clock)
        self._background(self._progress.run(), "progress-watch")

    def _end_topics(self, roles: list[Role]) -> None:
        """Delete what the agents of these roles have read for long enough."""
        settings = self.settings
        if not roles or not settings.normalised_retention_days:
            return
        retention = LogRetention(
            settings.kafka,
            [self._topic(role) for role in roles],
            days=settings.normalised_retention_days,
            group_id=settings.group_id,
            log_ends=self._log_ends(),
            notes=self.stores.log_notes,
        )
        self._background(retention.run(), "log-retention")

    def _watch_clocks(self, *, with_broker: bool) -> None:
        """A worker that serves reads alone does without Kafka, and so without its time."""
        servers: dict[str, Callable[[], Awaitable[datetime | None]]] = {"postgresql": self._server_clock}
        if with_broker:
            broker = BrokerClock(self.settings.kafka, self.settings.topics.clock)
            self._resources.push_async_callback(broker.close)
            servers["kafka"] = broker.now
        self._clocks = ClockWatch(servers, self._clock)
        self._background(self._clocks.run(), "clock-watch")

    async def _server_clock(self) -> "datetime":
        return await self.stores.server_clock()

    def _watch_cache(self) -> None:
        watch = AuditWatch(self.stores.auditor, interval_s=self.settings.audit_interval_s)
        self._background(watch.run(), "cache-audit")

    def _watch_placeholders(self) -> None:
        watch = PlaceholderWatch(self.stores.placeholders, interval_s=self.settings.placeholder_interval_s)
        self._background(watch.run(), "placeholders")

    async def _drain(self) -> None:
        await asyncio.gather(*(loop.drain() for loop in self._loops.values()))
        if self._cdc is not None:
            await self._cdc.drain()

    async def _close(self) -> None:
        await self._resources.aclose()

    async def _web_services(self) -> "WebServices":
        """What the HTTP handlers use; it closes with the worker's resources, after the server has stopped."""
        from web.events.erased import ErasedEvents  # noqa: PLC0415 — a role imports its own parts alone
        from web.services import WebServices  # noqa: PLC0415

        stores, log_ends = self.stores, self._log_ends()
        signer = Signer(await wait_for("PostgreSQL", stores.keys.signing_key))
        return WebServices(
            reader=stores.reader,
            writer=self._shared_writer(),
            preview=stores.preview,
            eraser=ErasureAtLogEnds(stores.eraser, log_ends),
            log_ends=log_ends,
            topic_configs=KafkaTopicConfigs(
                self.settings.kafka, [spec.name for spec in self.settings.topic_specs], self._clock
            ),
            letters=self._letter_sweep(),
            exporter=stores.exporter,
            directory=stores.directory,
            entities=stores.entities,
            relationships=stores.relationships,
            provenance=stores.provenance,
            feed=self._change_feed(signer),
            letter_box=self._letter_box(),
            tokens=Tokens(lambda: stores.database, signer),
            signer=signer,
            position=stores.position,
            readiness=Readiness(self._probes(), self._clock),
            clock=self._clock,
            metrics=self._metrics,
            observe=metrics.HTTP_TIMES.observe,
            keys=await self._key_ring(),
            observe_express=metrics.HTTP_TIMES.observe_express,
            observe_wait=metrics.HTTP_WAIT_SECONDS.observe,
            erased_events=ErasedEvents(stores.erasures),
        )

    def _shared_writer(self) -> SharedWriter:
        """A writer for the web, where many callers have few rows each; agents bring whole windows.

        It closes before the stores, and after the web server has stopped: what was accepted is written.
        """
        shared = SharedWriter(
            self.stores.writer,
            max_rows=self.settings.window_max_records,
            flushes=self.settings.web_flushes_in_flight,
        )
        self._resources.push_async_callback(shared.close)
        return shared

    def _log_ends(self) -> KafkaLogEnds:
        """Up to where the topics are written, for erasures and removals."""
        names = self.settings.topics
        log_ends = KafkaLogEnds(self.settings.kafka, [*names.sources, *names.normalised, names.cdc])
        self._resources.push_async_callback(log_ends.close)
        return log_ends

    def _letter_sweep(self) -> LetterSweep:
        """What removes dead letters about erased entities; it runs until the stores close."""
        settings, names = self.settings, self.settings.topics
        typed = dict.fromkeys((*names.normalised, names.cdc), True)
        topics = {**dict.fromkeys(names.sources, False), **typed}
        sweep = LetterSweep(
            self.stores.erasures, partial(DeadLetterStore, settings.kafka, list(topics)), topics
        )
        sweeping = asyncio.create_task(sweep.run(), name="letter-sweep")
        self._resources.callback(sweeping.cancel)
        return sweep

    async def _key_ring(self) -> "KeyRing":
        """The API keys, read once now and then again and again until the stores close."""
        from web.auth.api_key_cache import KeyRing  # noqa: PLC0415 — a role imports its own parts alone

        settings = self.settings
        await wait_for("PostgreSQL", lambda: make_first_key(self.stores.keys, settings))
        per_s = settings.web_rate_per_s
        ring = KeyRing(
            self.stores.keys,
            self._clock,
            refresh_s=settings.auth_refresh_s,
            outage_s=settings.auth_outage_s,
            rate=None if not per_s else Rate(per_s=per_s, burst=settings.web_rate_burst),
            among=1 if self._member is None else self._member.among,
        )
        await wait_for("PostgreSQL", ring.read)
        reading = asyncio.create_task(ring.run(), name="api-keys")
        self._resources.callback(reading.cancel)
        return ring

    def _change_feed(self, signer: Signer) -> ChangeFeed:
        """What streams of events come from; it closes before the stores, and after the web server has stopped."""
        settings = self.settings
        topic = settings.topics.domain_events
        feed = ChangeFeed(
            topic,
            partial(KafkaEventLog, settings.kafka, topic),
            signer=signer,
            max_streams=settings.web_event_streams,
            max_bytes=settings.web_event_buffer_mb * 1024 * 1024,
        )
        self._resources.push_async_callback(feed.close)
        return feed

    def _letter_box(self) -> KafkaLetterBox:
        """The dead letters, for the HTTP API."""
        names = self.settings.topics
        topics = [*names.sources, *names.normalised, names.cdc]
        return KafkaLetterBox(topics, partial(DeadLetterStore, self.settings.kafka, topics))

    def _probes(self) -> list[Probe]:
        """What /readyz asks: stores, what this process does, and the other processes of its worker."""
        siblings = [] if self._others is None else self._others.siblings()
        return [*self.stores.probes, *self._watches(), *siblings]

    def _watches(self) -> list[Probe]:
        """The progress of this process' agents and of their partitions, the connector, the clocks."""
        watches: list[Probe | None] = [self._progress, self._connector, self._clocks]
        return [*self._loops.values(), *(watch for watch in watches if watch is not None)]
