"""Dead letters on Kafka: the record byte for byte, its provenance and the reason in headers."""

from collections.abc import Sequence

from aiokafka.errors import KafkaError

from app.config.topics import DLQ_SUFFIX
from app.core.errors import InvalidError, TransientError
from app.kafka.producer import DurableProducer, Outgoing
from app.ports import DeadLetter, Record


def dead_letter(record: Record, error: InvalidError) -> DeadLetter:
    """The letter of a record that can't be processed."""
    return DeadLetter(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp_ms=record.timestamp,
        key=record.key,
        value=record.value,
        error=error.code,
        reason=str(error),
    )


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
    """Implements app.ports.DeadLetterSink. Letters that arrived before a failure come again under the same key."""

    def __init__(self, brokers: Sequence[str]) -> None:
        self._producer = DurableProducer(brokers)

    async def publish(self, letters: Sequence[DeadLetter]) -> None:
        await self._send(letters, [_outgoing(letter) for letter in letters])

    async def remove(self, letters: Sequence[DeadLetter]) -> None:
        """Take letters back that were published. Idempotent. Raises TransientError."""
        await self._send(
            letters,
            [Outgoing(f"{letter.topic}{DLQ_SUFFIX}", key_of(letter), None, [], None) for letter in letters],
        )

    async def _send(self, letters: Sequence[DeadLetter], records: Sequence[Outgoing]) -> None:
        if not letters:
            return
        try:
            await self._producer.publish(records)
        except (KafkaError, OSError, TimeoutError) as error:
            raise TransientError(
                f"Kafka did not take {len(letters)} dead letters of {letters[0].topic} ({type(error).__name__})."
            ) from error

    async def close(self) -> None:
        await self._producer.close()


def _outgoing(letter: DeadLetter) -> Outgoing:
    return Outgoing(
        topic=f"{letter.topic}{DLQ_SUFFIX}",
        # A compacted topic takes a record without a value for the removal of its key.
        value=letter.value or b"",
        key=key_of(letter),
        headers=headers_of(letter),
        timestamp_ms=letter.timestamp_ms,
    )
