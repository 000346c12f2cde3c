"""The domain-events topic, read from given positions, in no consumer group."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, Protocol, Self

from app.core.domain_event import DomainEvent, read_event
from app.core.errors import FatalError, TransientError
from app.core.oversized import OversizedBatch
from app.kafka.client import (
    AIOKafkaConsumer,
    KafkaError,
    OffsetOutOfRangeError,
    TopicPartition,
    client_options,
    unreachable,
)
from app.kafka.reading import partitions_of

_ANSWER_S: Final = 5.0
_MAX_RECORDS: Final = 500
_MAX_BYTES: Final = 1024 * 1024
_MAX_WAIT_MS: Final = 250


class Bounds(NamedTuple):
    """Of a partition: the oldest record that is still there, and the end of what is committed."""

    oldest: int
    end: int


class Fetched(NamedTuple):
    """Events in the order of each partition, and where reading goes on."""

    events: Sequence[DomainEvent]
    positions: Mapping[int, int]


class EventLog(Protocol):
    """A reader of the topic, as an async context manager. Every call raises TransientError, and is bounded in time."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *_: object) -> None: ...

    async def bounds(self) -> Mapping[int, Bounds]:
        """Of all partitions, as they are now."""
        ...

    def seek(self, positions: Mapping[int, int]) -> None:
        """Read from here on."""
        ...

    async def fetch(self, *, timeout_s: float) -> Fetched:
        """What comes next; nothing where nothing came in so long.

        Raises TransientError, too, where the topic has other partitions than when it was opened, or no longer has what
        comes next.
        """
        ...


class KafkaEventLog:
    """Implements EventLog; holds one fetch in memory."""

    def __init__(self, brokers: Sequence[str], topic: str) -> None:
        self._brokers = brokers
        self._topic = topic
        self._partitions: list[TopicPartition] = []
        self._consumer = AIOKafkaConsumer(
            **client_options(self._brokers),
            enable_auto_commit=False,
            isolation_level="read_committed",
            auto_offset_reset="none",  # a gap is told, and not passed over
            fetch_max_wait_ms=_MAX_WAIT_MS,
            fetch_max_bytes=_MAX_BYTES,
            max_partition_fetch_bytes=_MAX_BYTES // 4,
            metadata_max_age_ms=60_000,
        )

    async def __aenter__(self) -> Self:
        try:
            async with asyncio.timeout(_ANSWER_S):
                await self._consumer.start()
                self._partitions = await partitions_of(self._brokers, self._topic)
        except FatalError as error:  # whoever creates topics may still do so
            await self._consumer.stop()
            raise TransientError(str(error)) from error
        except BaseException as error:
            await self._consumer.stop()
            if isinstance(error, KafkaError | OSError | TimeoutError):
                raise unreachable(self._brokers, error) from error
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    async def bounds(self) -> Mapping[int, Bounds]:
        try:
            async with asyncio.timeout(_ANSWER_S):
                oldest = await self._consumer.beginning_offsets(self._partitions)
                ends = await self._consumer.end_offsets(self._partitions)
        except (KafkaError, OSError, TimeoutError) as error:
            raise unreachable(self._brokers, error) from error
        return {each.partition: Bounds(oldest[each], ends[each]) for each in self._partitions}

    def seek(self, positions: Mapping[int, int]) -> None:
        # Nothing is awaited between these, or the consumer misses a position that has not been told yet.
        self._consumer.assign(self._partitions)
        for each in self._partitions:
            self._consumer.seek(each, positions[each.partition])

    async def fetch(self, *, timeout_s: float) -> Fetched:
        try:
            fetched = await self._consumer.getmany(
                timeout_ms=max(1, int(timeout_s * 1000)), max_records=_MAX_RECORDS
            )
            async with asyncio.timeout(_ANSWER_S):
                positions = {each.partition: await self._consumer.position(each) for each in self._partitions}
        except OffsetOutOfRangeError as error:
            raise TransientError(
                "The topic of domain events no longer has what was to be read next."
            ) from error
        except (KafkaError, OSError, TimeoutError) as error:
            raise unreachable(self._brokers, error) from error
        if len(self._consumer.partitions_for_topic(self._topic) or self._partitions) != len(self._partitions):
            raise TransientError("The topic of domain events has other partitions than before.")
        events = [
            read_event(record)
            for records in fetched.values()
            for record in records
            if type(record.value) is not OversizedBatch  # nobody publishes such events
        ]
        return Fetched([event for event in events if event is not None], positions)
