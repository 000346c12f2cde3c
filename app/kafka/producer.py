"""A Kafka producer whose calls return when the broker has everything, and that replaces itself after a failure."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine, Sequence
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaProducer

from app.core.pieces import Pieces
from app.kafka.client import KafkaError, MessageSizeTooLargeError, client_options
from app.kafka.compression import use_fast_lz4
from app.kafka.partitioner import partition_of
from app.kafka.refused_writes import REFUSED, NotTakenError

logger = logging.getLogger(__name__)

_MAX_BATCH_BYTES: Final = 256 * 1024
_REFUSED_S: Final = 5.0  # of refusals and nothing else, after which the caller hears of it
_LOOK_S: Final = 0.5
_GIVEN_UP_S: Final = 2.0  # to close in order, for a producer that has failed
_Place = tuple[str, int]  # topic and partition


class Outgoing(NamedTuple):
    """One record to send; without a value it removes its key from a compacted topic."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]
    timestamp_ms: int | None  # None is now
    partition_key: bytes | None = None  # the record goes where this one's records go


class DurableProducer:
    """Idempotent, acknowledged by all in-sync replicas; it connects at the first call.

    Records of one key go to one partition in the order of the calls; calls wait for each other. Where a record
    fails, later ones of the same call may be stored already. After a failure the producer is replaced, since an
    idempotent one may be spoilt. Raises KafkaError, OSError or TimeoutError: the caller publishes the call again.

    aiokafka would try for ever what a living broker refuses. Here a call ends with NotTakenError, which says why, when
    for five seconds the broker took nothing of it and refused some, or took nothing for `timeout_s`.
    """

    def __init__(
        self,
        brokers: Sequence[str],
        *,
        linger_ms: int = 0,
        timeout_s: float = 20.0,
        max_request_bytes: int = 16 * 1024 * 1024,
        compression: str | None = "lz4",
    ) -> None:
        self._brokers = brokers
        self._linger_ms = linger_ms
        self._timeout_s = timeout_s
        self._max_request_bytes = max_request_bytes
        self._compression = compression
        self._producer: AIOKafkaProducer | None = None
        self._turn = asyncio.Lock()

    async def publish(self, records: Sequence[Outgoing]) -> None:
        """Send in order; return when the broker has acknowledged all of them."""
        async with self._turn:
            try:
                await self._send(await self._started(), records)
            except BaseException:
                await self._discard(_GIVEN_UP_S)
                raise

    async def close(self) -> None:
        """Wait for what is being sent, within bounds, and disconnect."""
        async with self._turn:
            await self._discard(self._timeout_s)

    async def _send(self, producer: AIOKafkaProducer, records: Sequence[Outgoing]) -> None:
        """Pack the records into batches of their partitions here: aiokafka would make a future for each record."""
        partitions = {
            topic: sorted(await producer.partitions_for(topic)) for topic in {each.topic for each in records}
        }
        watch = _Watch(frozenset(partitions), self._timeout_s)
        open_batches: dict[_Place, Any] = {}
        deliveries: list[asyncio.Future[object]] = []
        try:
            async for piece in Pieces(records, size=_value_bytes):
                for record in piece:
                    place = _place(record, partitions[record.topic])
                    batch = open_batches.get(place)
                    if batch is not None and _append(batch, record):
                        continue
                    if batch is not None:  # it is full
                        deliveries.append(await watch.over(self._deliver(producer, batch, place)))
                    open_batches[place] = producer.create_batch()
                    _append(open_batches[place], record)  # the first one is taken, however large
            for place, batch in open_batches.items():
                deliveries.append(await watch.over(self._deliver(producer, batch, place)))
            await watch.until_done(deliveries)
        finally:
            for delivery in deliveries:
                delivery.cancel()  # of those that are done it is nothing
            outcomes = await asyncio.gather(*deliveries, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def _deliver(
        self, producer: AIOKafkaProducer, batch: Any, place: _Place
    ) -> "asyncio.Future[object]":
        """Hand a batch over once the one before it is on its way. Only one that holds a single record can be too large,
        which `send_batch` does not look at.
        """
        if batch.size() > self._max_request_bytes:
            raise MessageSizeTooLargeError
        batch.close()  # it waits for nothing more
        topic, partition = place
        delivery: asyncio.Future[object] = await producer.send_batch(batch, topic, partition=partition)
        return delivery

    async def _started(self) -> AIOKafkaProducer:
        if self._producer is None:
            use_fast_lz4()
            producer = AIOKafkaProducer(
                **client_options(self._brokers),
                enable_idempotence=True,
                acks="all",
                partitioner=partition_of,
                linger_ms=self._linger_ms,
                max_batch_size=_MAX_BATCH_BYTES,
                max_request_size=self._max_request_bytes,
                compression_type=self._compression,
                request_timeout_ms=int(self._timeout_s * 1000),
            )
            try:
                await asyncio.wait_for(producer.start(), self._timeout_s)
            except BaseException:
                await producer.stop()
                raise
            self._producer = producer
        return self._producer

    async def _discard(self, timeout_s: float) -> None:
        producer, self._producer = self._producer, None
        if producer is None:
            return
        try:
            await asyncio.wait_for(producer.stop(), min(timeout_s, self._timeout_s))
        except (KafkaError, OSError, TimeoutError) as error:
            logger.warning("A Kafka producer could not be closed in order: %s.", type(error).__name__)
            await self._abandon(producer)

    async def _abandon(self, producer: AIOKafkaProducer) -> None:
        """End its sender, which would try for ever, and send what is old after its repetition. A private attribute: the
        client's own way to stop waits for the very batches that the broker refuses.
        """
        for end in (producer._sender.close, producer.client.close):  # noqa: SLF001 - held by a test
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                await asyncio.wait_for(end(), _GIVEN_UP_S)


class _Watch:
    """Ends the wait for a broker that takes nothing."""

    def __init__(self, topics: frozenset[str], timeout_s: float) -> None:
        self._topics = topics
        self._timeout_s = timeout_s
        self._moved_at = time.monotonic()

    async def over(
        self, handing_over: Coroutine[Any, Any, "asyncio.Future[object]"]
    ) -> "asyncio.Future[object]":
        """Wait for a batch to be taken in by the client, which one of the same partition may hold up."""
        task = asyncio.ensure_future(handing_over)
        try:
            while not (await asyncio.wait([task], timeout=_LOOK_S))[0]:
                self._require_patience()
        except BaseException:
            task.cancel()
            raise
        return task.result()

    async def until_done(self, deliveries: Sequence["asyncio.Future[object]"]) -> None:
        """Return when each is taken, or has failed."""
        left: set[asyncio.Future[object]] = set(deliveries)
        while left:
            done, left = await asyncio.wait(left, timeout=_LOOK_S, return_when=asyncio.FIRST_COMPLETED)
            if done:
                self._moved_at = time.monotonic()
            else:
                self._require_patience()

    def _require_patience(self) -> None:
        now = time.monotonic()
        refused = REFUSED.since(self._topics, max(self._moved_at, now - _REFUSED_S))
        if refused is not None and now - self._moved_at >= _REFUSED_S:
            raise NotTakenError(f"the broker refuses writes for now: {refused}")
        if now - self._moved_at >= self._timeout_s:
            raise NotTakenError(f"the broker took nothing for {self._timeout_s:g} s")


def _place(record: Outgoing, partitions: list[int]) -> _Place:
    key = record.key if record.partition_key is None else record.partition_key
    return record.topic, partition_of(key, partitions, partitions)


def _append(batch: Any, record: Outgoing) -> bool:
    """False where the batch is full."""
    return (
        batch.append(
            key=record.key, value=record.value, timestamp=record.timestamp_ms, headers=record.headers
        )
        is not None
    )


def _value_bytes(record: Outgoing) -> int:
    return len(record.value or b"")
