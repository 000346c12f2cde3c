"""Domain events go to Kafka."""

import zlib
from collections.abc import Sequence
from typing import Final

from app.core.errors import FatalError, TransientError
from app.core.failpoints import NO_HOOKS, Hooks
from app.core.pieces import Pieces
from app.core.records import OutgoingEvent, PublishedNote
from app.kafka.client import (
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
)
from app.kafka.producer import DurableProducer, Outgoing
from app.kafka.refused_writes import why

_HOPELESS: Final = (MessageSizeTooLargeError, RecordListTooLargeError, TopicAuthorizationFailedError)
# The keys of notes are all different, so that hashing each as Kafka's partitioner does would take some microseconds:
# a sum that is made in C chooses one of so many keys, of which the partitioner remembers the hashes.
_SPREAD: Final = tuple(b"%d" % number for number in range(1_024))
_NAMED_AT_ONCE: Final = 1_000  # events, to which half a microsecond is done


def _spread(key: bytes) -> bytes:
    """What chooses the partition of a note: always the same for a key, as compaction needs it."""
    return _SPREAD[zlib.crc32(key) % len(_SPREAD)]


class KafkaEventSink:
    """An EventSink on a durable producer of its own. Without a topic of notes none are kept.

    Where an event fails, later ones of the same call may be stored already: the caller publishes the whole call
    again, and the order of each key is then right from its first event on. Raises TransientError, or FatalError
    where the broker refuses such events each time.
    """

    def __init__(
        self,
        brokers: Sequence[str],
        topic: str,
        notes_topic: str | None = None,
        *,
        linger_ms: int = 5,
        timeout_s: float = 20.0,
        max_request_bytes: int = 16 * 1024 * 1024,
        compression: str | None = "lz4",
        hooks: Hooks = NO_HOOKS,
    ) -> None:
        self._topic = topic
        self._notes_topic = notes_topic
        self._hooks = hooks
        self._producer = DurableProducer(
            brokers,
            linger_ms=linger_ms,
            timeout_s=timeout_s,
            max_request_bytes=max_request_bytes,
            compression=compression,
        )

    async def publish(self, events: Sequence[OutgoingEvent], notes: Sequence[PublishedNote] = ()) -> None:
        if not events and not notes:
            return
        try:
            if self._hooks.waits_at("mid-publish"):
                half = len(events) // 2
                await self._send(events[:half])
                await self._hooks.reach("mid-publish")
                events = events[half:]
            await self._send(events, notes)
        except _HOPELESS as error:
            raise FatalError(
                f"Kafka refuses domain events for {self._topic} ({type(error).__name__}): raise the "
                "topic's max.message.bytes or grant the right to write to it."
            ) from error
        except (KafkaError, OSError, TimeoutError) as error:
            raise TransientError(
                f"Kafka did not take domain events for {self._topic} ({why(error)})."
            ) from error

    async def _send(self, events: Sequence[OutgoingEvent], notes: Sequence[PublishedNote] = ()) -> None:
        records: list[Outgoing] = []
        async for piece in Pieces(events, items=_NAMED_AT_ONCE):
            records += [
                Outgoing(self._topic, e.key, e.value, e.headers, e.timestamp_ms, e.partition_key)
                for e in piece
            ]
        if self._notes_topic is not None:
            async for noted in Pieces(notes, items=_NAMED_AT_ONCE):
                records += [
                    Outgoing(self._notes_topic, note.key, note.value, [], None, _spread(note.key))
                    for note in noted
                ]
        await self._producer.publish(records)

    async def close(self) -> None:
        """Wait for what is being sent, within bounds, and disconnect."""
        await self._producer.close()
