"""Domain events go to Kafka."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
)

from app.errors import FatalError, TransientError
from app.ports import OutgoingEvent

logger = logging.getLogger(__name__)

_HOPELESS: Final = (MessageSizeTooLargeError, RecordListTooLargeError, TopicAuthorizationFailedError)


class KafkaEventSink:
    """An EventSink on an idempotent producer of its own, which it starts at the first call.

    Events of one key go to one partition, in the order of the calls; calls wait for each other. A call
    returns when all in-sync replicas have all its events. Where one fails, later ones of the same call may
    be stored already: the caller publishes the whole call again, and the order of each key is then right from
    its first event on. After a failure the producer is replaced, since an idempotent one may be spoilt.
    Raises TransientError, or FatalError where the broker refuses such events each time.
    """

    def __init__(
        self,
        brokers: Sequence[str],
        topic: str,
        *,
        linger_ms: int = 5,
        timeout_s: float = 20.0,
        max_request_bytes: int = 16 * 1024 * 1024,
        compression: str | None = "lz4",
    ) -> None:
        self._brokers = list(brokers)
        self._topic = topic
        self._linger_ms = linger_ms
        self._timeout_s = timeout_s
        self._max_request_bytes = max_request_bytes
        self._compression = compression
        self._producer: AIOKafkaProducer | None = None
        self._turn = asyncio.Lock()

    async def publish(self, events: Sequence[OutgoingEvent]) -> None:
        if not events:
            return
        async with self._turn:
            try:
                producer = await self._started()
                await self._send(producer, events)
            except _HOPELESS as error:
                await self._discard()
                raise FatalError(
                    f"Kafka refuses domain events for {self._topic} ({type(error).__name__}): raise the "
                    "topic's max.message.bytes or grant the right to write to it."
                ) from error
            except (KafkaError, OSError, TimeoutError) as error:
                await self._discard()
                raise TransientError(
                    f"Kafka did not take domain events for {self._topic} ({type(error).__name__})."
                ) from error

    async def close(self) -> None:
        """Wait for what is being sent, within bounds, and disconnect."""
        async with self._turn:
            await self._discard()

    async def _send(self, producer: AIOKafkaProducer, events: Sequence[OutgoingEvent]) -> None:
        deliveries: list[asyncio.Future[object]] = []
        try:
            for event in events:
                deliveries.append(  # noqa: PERF401 - those already sent are needed when one fails
                    await producer.send(
                        self._topic,
                        value=event.value,
                        key=event.key,
                        headers=event.headers,
                        timestamp_ms=event.timestamp_ms,
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
                bootstrap_servers=self._brokers,
                enable_idempotence=True,
                acks="all",
                linger_ms=self._linger_ms,
                max_batch_size=256 * 1024,
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
