"""Dead letters on Kafka: the record byte for byte, its provenance and the reason in headers."""

import asyncio
from collections.abc import Sequence
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from app.errors import TransientError
from app.metrics import DEAD_LETTERS
from app.ports import DeadLetter
from app.topics import DLQ_SUFFIX

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
    """Implements app.ports.DeadLetterSink. Connects when the first letter comes."""

    def __init__(self, brokers: Sequence[str]) -> None:
        self._brokers = list(brokers)
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()

    async def publish(self, letters: Sequence[DeadLetter]) -> None:
        if not letters:
            return
        try:
            producer = await self._started()
            sent = [
                await producer.send(
                    f"{letter.topic}{DLQ_SUFFIX}",
                    # A compacted topic takes a record without a value for the removal of its key.
                    value=letter.value or b"",
                    key=key_of(letter),
                    headers=headers_of(letter),
                    timestamp_ms=letter.timestamp_ms,
                )
                for letter in letters
            ]
            await asyncio.gather(*sent)
        except (KafkaError, OSError) as error:
            raise TransientError(f"Dead letters could not be published: {type(error).__name__}.") from error
        for letter in letters:
            DEAD_LETTERS.labels(letter.topic, letter.error).inc()

    async def _started(self) -> AIOKafkaProducer:
        async with self._starting:
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

    async def close(self) -> None:
        if self._producer is not None:
            await self._producer.stop()
