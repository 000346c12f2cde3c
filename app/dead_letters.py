"""Dead letters on Kafka: the record byte for byte, its provenance and the reason in headers."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from app.errors import TransientError
from app.metrics import DEAD_LETTERS
from app.ports import DeadLetter
from app.topics import DLQ_SUFFIX

logger = logging.getLogger(__name__)

_TIMEOUT_MS: Final = 20_000
_MAX_REQUEST_BYTES: Final = 16 * 1024 * 1024


def headers_of(letter: DeadLetter) -> list[tuple[str, bytes]]:
    """Provenance and reason; `dlq.tombstone` marks a record that had no value."""
    headers = [
        ("dlq.topic", letter.topic.encode()),
        ("dlq.partition", str(letter.partition).encode()),
        ("dlq.offset", str(letter.offset).encode()),
        ("dlq.timestamp", str(letter.timestamp_ms).encode()),
        ("dlq.error", letter.error.encode()),
        ("dlq.reason", letter.reason.encode()),
    ]
    if letter.key is not None:
        headers.append(("dlq.key", letter.key))
    if letter.value is None:
        headers.append(("dlq.tombstone", b"true"))
    return headers


def key_of(letter: DeadLetter) -> bytes:
    """Unique, so that a compacted topic keeps each and one can be removed."""
    return f"{letter.topic}/{letter.partition}/{letter.offset}".encode()


class KafkaDeadLetters:
    """Implements app.ports.DeadLetterSink. Connects when the first letter comes.

    After a failure the producer is replaced, since an idempotent one may be spoilt; letters that arrived before it
    come again under the same key.
    """

    def __init__(self, brokers: Sequence[str]) -> None:
        self._brokers = list(brokers)
        self._producer: AIOKafkaProducer | None = None
        self._turn = asyncio.Lock()

    async def publish(self, letters: Sequence[DeadLetter]) -> None:
        if not letters:
            return
        async with self._turn:
            try:
                await self._send(await self._started(), letters)
            except (KafkaError, OSError) as error:
                await self._discard()
                raise TransientError(
                    f"Kafka did not take {len(letters)} dead letters of {letters[0].topic} "
                    f"({type(error).__name__})."
                ) from error
        for letter in letters:
            DEAD_LETTERS.labels(letter.topic, letter.error).inc()

    async def close(self) -> None:
        async with self._turn:
            await self._discard()

    @staticmethod
    async def _send(producer: AIOKafkaProducer, letters: Sequence[DeadLetter]) -> None:
        deliveries: list[asyncio.Future[object]] = []
        try:
            for letter in letters:
                deliveries.append(  # noqa: PERF401 - those already sent are needed when one fails
                    await producer.send(
                        f"{letter.topic}{DLQ_SUFFIX}",
                        # A compacted topic takes a record without a value for the removal of its key.
                        value=letter.value or b"",
                        key=key_of(letter),
                        headers=headers_of(letter),
                        timestamp_ms=letter.timestamp_ms,
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
                acks="all",
                enable_idempotence=True,
                request_timeout_ms=_TIMEOUT_MS,
                max_request_size=_MAX_REQUEST_BYTES,
                compression_type="lz4",
            )
            try:
                await producer.start()
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
            await asyncio.wait_for(producer.stop(), _TIMEOUT_MS / 1000)
        except (KafkaError, OSError, TimeoutError) as error:
            logger.warning("A Kafka producer could not be closed in order: %s.", type(error).__name__)
