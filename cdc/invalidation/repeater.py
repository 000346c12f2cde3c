"""Invalidation once more, from the WAL: what a worker that died after its commit did not do.

Design, section 5, rule 7.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Protocol, TypeVar

from app.core.clock import Clock, SystemClock
from app.core.errors import InvalidError, TransientError
from app.core.failpoints import NO_HOOKS, Hooks
from app.core.log_events import LogEvent
from app.core.models import Changes
from app.core.pieces import Pieces
from app.core.records import Record, size_of
from app.kafka.client import (
    AIOKafkaConsumer,
    CommitFailedError,
    IllegalStateError,
    KafkaError,
    client_options,
)
from app.ports.caching import CommitLog, Invalidator
from cdc import metrics
from cdc.envelope import Skipped, decode, entity_of_key
from cdc.events.processor import age_s
from cdc.invalidation.invalidated_keys import Affected, LookupsOf

logger = logging.getLogger(__name__)

_UNPACKED_AT_ONCE: Final = 500  # records, which the client unpacks without giving way to other tasks

T = TypeVar("T")


class Consumer(Protocol):
    """What is used of an aiokafka consumer."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def getmany(self, *, timeout_ms: int, max_records: int) -> Mapping[Any, Sequence[Any]]: ...

    async def commit(self, offsets: Mapping[Any, int]) -> None: ...


class CacheRepeater:
    """Repeats the invalidation of every committed change, in a consumer group of its own.

    At least once: offsets are committed only when their transactions were visible on the primary and every cache
    node took the invalidation at a position read after that; so a change whose writer died before it told the
    caches heals here. A batch that is not visible is tried again, for ever, with a bounded backoff. A cache node
    that is away holds up offsets alone: what the others keep is invalidated as it comes. It neither waits for the
    publication of domain events nor delays it. A record that can't be read invalidates the entity that its key
    names; the agent that publishes dead-letters it.
    """

    def __init__(
        self,
        *,
        brokers: Sequence[str],
        topic: str,
        group_id: str,
        invalidator: Invalidator,
        commit_log: CommitLog,
        lookups_of: LookupsOf,
        max_records: int = 2_000,
        visible_timeout_s: float = 10.0,
        max_backoff_s: float = 5.0,
        clock: Clock | None = None,
        consumer: Callable[[], Consumer] | None = None,
        hooks: Hooks = NO_HOOKS,
    ) -> None:
        """`group_id` is the application's; the repeater's is `<group_id>-cache-repeater`."""
        self._group_id = f"{group_id}-cache-repeater"
        self._brokers = brokers
        self._topic = topic
        self._invalidator = invalidator
        self._commit_log = commit_log
        self._lookups_of = lookups_of
        self._max_records = max_records
        self._visible_timeout_s = visible_timeout_s
        self._max_backoff_s = max_backoff_s
        self._clock = clock or SystemClock()
        self._make_consumer = consumer or self._kafka_consumer
        self._hooks = hooks
        self._task: asyncio.Task[Any] | None = None
        self._stopping = False
        self._behind = False
        self._ended = asyncio.Event()

    async def run(self) -> None:
        """Work until `stop` or cancellation. Raises what is not transient, without committing the batch."""
        self._task = asyncio.current_task()
        self._ended.clear()
        try:
            while not self._stopping:
                await self._consume()
        except asyncio.CancelledError:
            if not self._stopping or self._task is None:
                raise
            self._task.uncancel()
        finally:
            self._task = None
            self._ended.set()

    async def stop(self) -> None:
        """End `run`, which then returns; a batch that the caches did not take yet comes again next time."""
        self._stopping = True
        task = self._task
        if task is not None and task is not asyncio.current_task():
            task.cancel()
            await self._ended.wait()

    async def repeat(self, records: Sequence[Record]) -> None:
        """Invalidate what these records changed, on every cache node that answers."""
        affected, newest_ms = await self._affected(records)
        position = await self._persist("visibility", lambda: self._visible(sorted(affected.xids)))
        changes = Changes(
            position=position,
            entities=frozenset(affected.entities),
            keys=frozenset(affected.keys),
            lookups=frozenset(affected.lookups),
        )
        await self._invalidator.submit(changes)
        metrics.REPEATED.inc(len(records))
        if newest_ms and not self._invalidator.behind:
            metrics.REPEATER_LAG.set(age_s(newest_ms, self._clock.now()))

    async def _consume(self) -> None:
        """Read and repeat until Kafka fails, then return after a pause, to begin anew."""
        consumer = self._make_consumer()
        try:
            await consumer.start()
            ends: dict[Any, int] = {}
            while not self._stopping:
                records, fetched_ends = await self._fetch(consumer)
                if records:
                    await self.repeat(records)
                    ends |= fetched_ends
                if ends and self._is_taken():
                    await self._hooks.reach("before-repeater-commit")
                    await _commit(consumer, ends)
                    ends = {}
        except (KafkaError, OSError) as error:
            logger.warning(
                "The cache repeater lost Kafka (%s) and begins anew.",
                type(error).__name__,
                extra=LogEvent.REPEATER_RESTARTED.extra,
            )
            metrics.REPEATER_RETRIES.labels("kafka").inc()
            await asyncio.sleep(min(1.0, self._max_backoff_s))
        finally:
            await consumer.stop()

    async def _fetch(self, consumer: Consumer) -> tuple[list[Record], dict[Any, int]]:
        """Up to `max_records`, and the position after the last one of each partition; nothing if nothing comes."""
        records: list[Record] = []
        ends: dict[Any, int] = {}
        timeout_ms = 500
        while (room := self._max_records - len(records)) > 0:
            fetched = await consumer.getmany(timeout_ms=timeout_ms, max_records=min(room, _UNPACKED_AT_ONCE))
            if not fetched:
                break
            for tp, batch in fetched.items():
                records += batch
                ends[tp] = batch[-1].offset + 1
            timeout_ms = 0  # what is here already
            await asyncio.sleep(0)
        return records, ends

    async def _affected(self, records: Sequence[Record]) -> tuple[Affected, int]:
        affected = Affected()
        newest_ms = 0
        async for piece in Pieces(records, size=size_of):
            for record in piece:
                newest_ms = max(newest_ms, self._add(record, affected))
        return affected, newest_ms

    def _add(self, record: Record, affected: Affected) -> int:
        """Add one record; return the time of its commit in milliseconds, 0 where there is none."""
        try:
            change = decode(record.value)
            if not isinstance(change, Skipped):
                affected.add(change, self._lookups_of)
                return change.source.ts_ms
            if change.reason == "truncate":
                logger.error(
                    "A table was truncated: empty the cache, which can't know what was in it.",
                    extra=LogEvent.TABLE_TRUNCATED.extra,
                )
        except InvalidError as error:
            entity = entity_of_key(record.key)
            logger.warning("A change can't be read (%s): only its entity is invalidated.", error.code)
            if entity is not None:
                affected.entities.add(entity)
        return 0

    async def _visible(self, xids: Sequence[int]) -> int:
        return await self._commit_log.visible_position(xids, timeout_s=self._visible_timeout_s)

    def _is_taken(self) -> bool:
        was_behind, self._behind = self._behind, self._invalidator.behind
        if self._behind:
            metrics.REPEATER_RETRIES.labels("invalidation").inc()
            if not was_behind:
                logger.warning("Not every cache node took the invalidation: it is tried again until it did.")
        return not self._behind

    async def _persist(self, step: str, attempt: Callable[[], Awaitable[T]]) -> T:
        """Try until it succeeds. Raises what is not transient."""
        failures = 0
        while True:
            try:
                return await attempt()
            except TransientError as error:
                failures += 1
                metrics.REPEATER_RETRIES.labels(step).inc()
                pause_s = min(self._max_backoff_s, 0.05 * 2 ** min(failures, 10))
                logger.log(
                    logging.WARNING if failures in {1, 10} or failures % 100 == 0 else logging.DEBUG,
                    "The cache repeater waits (%s, attempt %d): %s",
                    step,
                    failures,
                    error,
                )
                await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter

    def _kafka_consumer(self) -> Consumer:
        consumer: Consumer = AIOKafkaConsumer(
            self._topic,
            **client_options(self._brokers),
            group_id=self._group_id,
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        return consumer


async def _commit(consumer: Consumer, offsets: Mapping[Any, int]) -> None:
    try:
        await consumer.commit(offsets)
    except (CommitFailedError, IllegalStateError) as error:
        # The partitions went to another member: it gets the same records and repeats them once more.
        logger.info("Offsets were not committed (%s).", type(error).__name__)
