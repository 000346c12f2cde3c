"""A Kafka producer whose calls return when the broker has everything, and that replaces itself after a failure."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from app.kafka.client import client_options
from app.kafka.partitioner import partition_of

logger = logging.getLogger(__name__)

_MAX_BATCH_BYTES: Final = 256 * 1024


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
                await self._discard()
                raise

    async def close(self) -> None:
        """Wait for what is being sent, within bounds, and disconnect."""
        async with self._turn:
            await self._discard()

    @staticmethod
    async def _send(producer: AIOKafkaProducer, records: Sequence[Outgoing]) -> None:
        deliveries: list[asyncio.Future[object]] = []
        try:
            for record in records:
                deliveries.append(  # noqa: PERF401 - those already sent are needed when one fails
                    await producer.send(
                        record.topic,
                        value=record.value,
                        key=record.key,
                        headers=record.headers,
                        timestamp_ms=record.timestamp_ms,
                        partition=await _partition(producer, record),
                    )
                )
        finally:
            outcomes = await asyncio.gather(*deliveries, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def _started(self) -> AIOKafkaProducer:
        if self._producer is None:
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

    async def _discard(self) -> None:
        producer, self._producer = self._producer, None
        if producer is None:
            return
        try:
            await asyncio.wait_for(producer.stop(), self._timeout_s)
        except (KafkaError, OSError, TimeoutError) as error:
            logger.warning("A Kafka producer could not be closed in order: %s.", type(error).__name__)


async def _partition(producer: AIOKafkaProducer, record: Outgoing) -> int | None:
    """Where a record goes; None leaves it to its key."""
    if record.partition_key is None:
        return None
    partitions = sorted(await producer.partitions_for(record.topic))
    return partition_of(record.partition_key, partitions, partitions)
