"""Dead letters on Kafka: the record byte for byte, its provenance and the reason in headers."""

from collections.abc import Callable, Sequence

from app.config.topics import DLQ_SUFFIX
from app.core.errors import TransientError
from app.core.pieces import Pieces
from app.core.records import DeadLetter
from app.dead_letters.letter import headers_of, key_of
from app.kafka.client import KafkaError
from app.kafka.producer import DurableProducer, Outgoing
from app.kafka.refused_writes import why


class KafkaDeadLetters:
    """Implements app.ports.dead_letters.DeadLetterSink. Letters that arrived before a failure come again under the
    same key."""

    def __init__(self, brokers: Sequence[str]) -> None:
        self._producer = DurableProducer(brokers)

    async def publish(self, letters: Sequence[DeadLetter]) -> None:
        await self._send(letters, _outgoing)

    async def remove(self, letters: Sequence[DeadLetter]) -> None:
        """Take letters back that were published. Idempotent. Raises TransientError."""
        await self._send(letters, _removal)

    async def _send(self, letters: Sequence[DeadLetter], record_of: Callable[[DeadLetter], Outgoing]) -> None:
        if not letters:
            return
        records: list[Outgoing] = []
        async for piece in Pieces(letters):
            records += map(record_of, piece)
        try:
            await self._producer.publish(records)
        except (KafkaError, OSError, TimeoutError) as error:
            raise TransientError(
                f"Kafka did not take {len(letters)} dead letters of {letters[0].topic} ({why(error)})."
            ) from error

    async def close(self) -> None:
        await self._producer.close()


def _removal(letter: DeadLetter) -> Outgoing:
    return Outgoing(f"{letter.topic}{DLQ_SUFFIX}", key_of(letter), None, [], None)


def _outgoing(letter: DeadLetter) -> Outgoing:
    return Outgoing(
        topic=f"{letter.topic}{DLQ_SUFFIX}",
        # A compacted topic takes a record without a value for the removal of its key.
        value=letter.value or b"",
        key=key_of(letter),
        headers=headers_of(letter),
        timestamp_ms=letter.timestamp_ms,
    )
