"""What the role cdc needs besides a loop: a processor, the repeater of invalidations, the connector's watch."""

import asyncio
import logging
from contextlib import AsyncExitStack
from typing import Final

from app.config.settings import Settings
from app.core.clock import Clock
from app.core.errors import ProfileError
from app.core.failpoints import Hooks
from app.core.log_events import LogEvent
from app.core.process import EX_SOFTWARE, Terminate
from app.dead_letters.policy import DeadLetterPolicy
from app.kafka.beat import TopicBeat
from app.kafka.reading import bounds
from app.ports.dead_letters import DeadLetterSink
from app.ports.processing import RecordProcessor
from cdc.connector.client import ConnectClient
from cdc.connector.watch import ConnectorWatch
from cdc.events.processor import CdcProcessor
from cdc.events.publisher import KafkaEventSink
from cdc.invalidation.repeater import CacheRepeater
from storage.cache.lookups import lookups_of
from storage.stores import Stores

logger = logging.getLogger(__name__)

_CONNECT_TIMEOUT_S: Final = 5.0


class CdcParts:
    """Made by the worker once its stores are open; imported by workers of this role alone."""

    def __init__(
        self, settings: Settings, stores: Stores, resources: AsyncExitStack, clock: Clock, hooks: Hooks
    ) -> None:
        self._settings = settings
        self._stores = stores
        self._resources = resources
        self._clock = clock
        self._hooks = hooks
        self._repeater: CacheRepeater | None = None

    def processor(self, dead_letters: DeadLetterSink, policy: DeadLetterPolicy) -> RecordProcessor:
        """What makes domain events of changes; its producer closes with the worker's resources."""
        topics = self._settings.topics
        events = KafkaEventSink(
            self._settings.kafka, topics.domain_events, topics.published, hooks=self._hooks
        )
        self._resources.push_async_callback(events.close)
        return CdcProcessor(
            directory=self._stores.directory,
            events=events,
            dead_letters=dead_letters,
            publish_snapshot=self._settings.cdc_publish_snapshot,
            commit_log=self._stores.commit_log,
            fence=self._stores.publish_fence,
            policy=policy,
            clock=self._clock,
            hooks=self._hooks,
        )

    async def begin_notes(self) -> None:
        """Where nothing was published yet, the notes are complete from now on; else `events note` makes them so."""
        topics = self._settings.topics
        try:
            known = await bounds(self._settings.kafka, topics.domain_events)
            if not any(end for _, end in known.values()):
                await self._stores.published_notes.note_complete(topics.published)
        except ProfileError as error:
            logger.warning("Whether notes of what is published are complete is not known: %s", error)

    def keep_segments_short(self) -> None:
        """Compaction of the notes' topic waits for nothing but time, until the worker's resources close."""
        beat = TopicBeat(self._settings.kafka, self._settings.topics.published)
        self._resources.push_async_callback(beat.close)
        beating = asyncio.create_task(beat.run(), name="notes-beat")
        self._resources.callback(beating.cancel)

    def start_repeater(self, leave: Terminate) -> None:
        """Repeat invalidations from now on; `leave` is called where that can't go on."""
        self._repeater = CacheRepeater(
            brokers=self._settings.kafka,
            topic=self._settings.topics.cdc,
            group_id=self._settings.app_id,
            invalidator=self._stores.invalidations,
            commit_log=self._stores.commit_log,
            lookups_of=lookups_of,
            hooks=self._hooks,
        )

        def ended(task: "asyncio.Task[None]") -> None:
            if not task.cancelled() and (error := task.exception()) is not None:
                logger.critical(
                    "The cache repeater stops the process, without committing: %s",
                    error,
                    extra=LogEvent.WORKER_STOPPED_UNCOMMITTED.extra,
                )
                leave(EX_SOFTWARE)

        task = asyncio.create_task(self._repeater.run(), name="cache-repeater")
        task.add_done_callback(ended)

    def watch_connector(self) -> ConnectorWatch:
        """The watch, which runs until the worker's resources close."""
        settings = self._settings
        watch = ConnectorWatch(
            name=settings.connector_name,
            slot_name=settings.cdc_slot,
            slots=self._stores.slots,
            connect=ConnectClient(
                settings.connect_url, timeout_s=_CONNECT_TIMEOUT_S, ca_file=settings.connect_ca_file
            ),
            clock=self._clock,
            interval_s=settings.cdc_watch_interval_s,
            max_lag_s=settings.cdc_max_lag_s,
            restart_failed=settings.cdc_restart_failed,
        )
        watching = asyncio.create_task(watch.run(), name="connector-watch")
        self._resources.callback(watching.cancel)
        return watch

    async def drain(self) -> None:
        """Let the repeater end what it has begun."""
        if self._repeater is not None:
            await self._repeater.stop()
