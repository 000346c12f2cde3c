"""Dead letters on Kafka for people: find them, read them, send their records again, remove them.

The topics are compacted, but nobody knows when: the reader applies removals and repetitions itself. Both take two
passes, one for the keys and offsets of what is wanted, one for the letters; values are never held but for those of
one fetch and one batch.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

from app.config.topics import DLQ_SUFFIX
from app.core.errors import FatalError, InvalidError, TransientError
from app.core.oversized import CODE
from app.core.records import StoredLetter, id_of
from app.dead_letters.filter import LetterFilter
from app.dead_letters.letter import read_letter
from app.kafka.client import (
    AIOKafkaConsumer,
    ConsumerRecord,
    InvalidTimestampError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicPartition,
    client_options,
    unreachable,
)
from app.kafka.producer import DurableProducer, Outgoing
from app.kafka.refused_writes import why

REPLAYED_FROM: Final = "dlq.replayed-from"

_POLL_MS: Final = 1_000
_MAX_WAIT_MS: Final = 20
_STALL_S: Final = 30.0
_BATCH_LETTERS: Final = 500
_BATCH_BYTES: Final = 4 * 1024 * 1024
# What the broker says of one record, and would say again. All else may pass.
_REFUSED: Final = (MessageSizeTooLargeError, RecordListTooLargeError, InvalidTimestampError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Letters that were there when it was made: by original topic their keys and offsets in its dead letters."""

    offsets: Mapping[str, Mapping[bytes, int]]

    def __len__(self) -> int:
        return sum(len(found) for found in self.offsets.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What became of one letter: its record was sent and the letter removed, or it stays for this reason."""

    letter_id: str
    stays: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterBatch:
    """Letters by their keys, in order; None is a removal. `next_offset` is the position after them in their topic."""

    letters: Sequence[tuple[bytes, StoredLetter | None]]
    next_offset: int


class DeadLetterStore:
    """The dead letters of these original topics; an async context manager, which connects at the first selection.

    Raises TransientError where Kafka does not answer, FatalError where a topic's dead letters don't exist.
    """

    def __init__(self, brokers: Sequence[str], topics: Sequence[str]) -> None:
        self._brokers = brokers
        self._topics = list(topics)
        self._producer = DurableProducer(brokers)
        self._connected = False
        self._consumer = AIOKafkaConsumer(
            **client_options(self._brokers),
            enable_auto_commit=False,
            # Flink writes in transactions. The end of what is committed is the end of a pass, too.
            isolation_level="read_committed",
            # Not seek_to_beginning: the reset of a new assignment may come after it, and would go to the end.
            auto_offset_reset="earliest",
            # The next topic waits for the answer to the last fetch of the one before.
            fetch_max_wait_ms=_MAX_WAIT_MS,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()
        await self._producer.close()

    async def select(self, wanted: LetterFilter) -> Selection:
        """The letters that are wanted, in the order of the topics and of each topic.

        Raises InvalidError for a topic that is not one of the store's, and for an id without such a letter.
        """
        unknown = sorted(wanted.topics_to_read - set(self._topics))
        if unknown:
            raise InvalidError(
                f"{unknown[0]} is not a topic with dead letters: name one of {', '.join(self._topics)}.",
                code="unknown-topic",
            )
        topics = [name for name in self._topics if not wanted.topics_to_read or name in wanted.topics_to_read]
        await self._check(topics)
        offsets = {topic: await self._find(topic, wanted) for topic in topics}
        missing = wanted.ids - {id_of(key) for found in offsets.values() for key in found}
        if missing:
            raise InvalidError(
                f"No such dead letter: {', '.join(sorted(missing))}. It was removed, or a filter leaves it out: "
                "`python -m app dlq list` shows what is there.",
                code="no-such-letter",
            )
        return Selection(offsets=offsets)

    async def read(self, selection: Selection) -> AsyncIterator[StoredLetter]:
        """The letters one by one. What was removed or written again since is left out where Kafka dropped it."""
        for topic, offsets in selection.offsets.items():
            if not offsets:
                continue
            wanted = set(offsets.values())
            async for record in self._scan(topic, first=min(wanted), end=max(wanted) + 1):
                if record.offset in wanted:
                    yield read_letter(record)

    async def replay(self, selection: Selection) -> AsyncIterator[Replayed]:
        """Send the original records to their topics, then remove their letters; yield each when that is durable.

        Value, key and timestamp are the original's (source topics stamp what they append), and the header
        `dlq.replayed-from` names the letter. A letter
        is removed after the broker has acknowledged its record: what fails between is sent again by the next
        replay. A tombstone, a batch that was too large, and what the broker refuses, stay. Raises TransientError; what
        was yielded is done.
        """
        batch: list[StoredLetter] = []
        size = 0
        async for letter in self.read(selection):
            if letter.value is None:
                yield Replayed(letter_id=letter.id, stays="its record had no value (a tombstone): drop it")
                continue
            if letter.error == CODE:
                yield Replayed(
                    letter_id=letter.id, stays=f"it stands for records that were not read. {letter.reason}"
                )
                continue
            batch.append(letter)
            size += len(letter.value)
            if len(batch) >= _BATCH_LETTERS or size >= _BATCH_BYTES:
                for outcome in await self._replay_batch(batch):
                    yield outcome
                batch, size = [], 0
        for outcome in await self._replay_batch(batch):
            yield outcome

    async def remove(self, selection: Selection) -> AsyncIterator[str]:
        """Remove the letters; yield the id of each when that is durable. Raises TransientError."""
        for topic, offsets in selection.offsets.items():
            keys = iter(offsets)
            while batch := list(itertools.islice(keys, _BATCH_LETTERS)):
                await self.remove_keys(topic, batch)
                for key in batch:
                    yield id_of(key)

    async def batches(self, topic: str, *, first: int | None = None) -> "AsyncIterator[LetterBatch]":
        """What was written of a topic's dead letters from an offset on, in order, some at a time; the last batch, which
        may be empty, ends where all that can be read by now does. An offset beyond that means the beginning: the topic
        is another one."""
        await self._check([topic])
        batch: list[tuple[bytes, StoredLetter | None]] = []
        size = 0
        partition = TopicPartition(f"{topic}{DLQ_SUFFIX}", 0)
        end = await self._end(partition)
        if first is not None and first > end:
            first = None
        async for record in self._scan(topic, first=first, end=end):
            if record.key is not None:
                batch.append((record.key, None if record.value is None else read_letter(record)))
                size += len(record.value or b"")
            if len(batch) >= _BATCH_LETTERS or size >= _BATCH_BYTES:
                yield LetterBatch(letters=batch, next_offset=record.offset + 1)
                batch, size = [], 0
        yield LetterBatch(letters=batch, next_offset=end)

    async def remove_keys(self, topic: str, keys: Sequence[bytes]) -> None:
        """Remove letters of a topic by their keys; return when that is durable. Raises TransientError."""
        for start in range(0, len(keys), _BATCH_LETTERS):
            await self._publish([_removal(topic, key) for key in keys[start : start + _BATCH_LETTERS]])

    async def _check(self, topics: Sequence[str]) -> None:
        """A consumer waits for a topic that does not exist, without an end."""
        try:
            if not self._connected:
                await self._consumer.start()
                self._connected = True
            there = await self._consumer.topics()
        except (KafkaError, OSError) as error:
            raise unreachable(self._brokers, error) from error
        missing = [f"{topic}{DLQ_SUFFIX}" for topic in topics if f"{topic}{DLQ_SUFFIX}" not in there]
        if missing:
            raise FatalError(
                f"The topic {missing[0]} does not exist: create it by `python -m app topics`, or set "
                "PROFILE_TOPIC_PREFIX."
            )

    async def _find(self, topic: str, wanted: LetterFilter) -> dict[bytes, int]:
        found: dict[bytes, int] = {}
        async for record in self._scan(topic):
            if record.key is None:
                continue
            # A letter that was written again counts where it stands now, and for what it says now.
            found.pop(record.key, None)
            if record.value is not None and wanted.matches(read_letter(record)):
                found[record.key] = record.offset
        return found

    async def _scan(
        self, topic: str, *, first: int | None = None, end: int | None = None
    ) -> "AsyncIterator[ConsumerRecord[bytes, bytes]]":
        partition = TopicPartition(f"{topic}{DLQ_SUFFIX}", 0)
        if end is None:
            end = await self._end(partition)
        self._consumer.assign([partition])
        try:
            async with asyncio.timeout(_STALL_S):
                position = await self._consumer.position(partition)
            if first is not None and first > position:
                self._consumer.seek(partition, first)
            while await self._consumer.position(partition) < end:
                for record in await self._fetch(partition):
                    if record.offset < end:
                        yield record
        except (KafkaError, OSError, TimeoutError) as error:
            raise unreachable(self._brokers, error) from error

    async def _end(self, partition: TopicPartition) -> int:
        """Of what can be read by now."""
        self._consumer.assign([partition])
        try:
            async with asyncio.timeout(_STALL_S):
                end: int = (await self._consumer.end_offsets([partition]))[partition]
                return end
        except (KafkaError, OSError, TimeoutError) as error:
            raise unreachable(self._brokers, error) from error

    async def _fetch(self, partition: TopicPartition) -> "list[ConsumerRecord[bytes, bytes]]":
        """The next records; none where the position has passed what is no record, as the ends of transactions."""
        start = await self._consumer.position(partition)
        async with asyncio.timeout(_STALL_S):
            while True:
                fetched = await self._consumer.getmany(partition, timeout_ms=_POLL_MS)
                records: list[ConsumerRecord[bytes, bytes]] = fetched.get(partition, [])
                if records or await self._consumer.position(partition) > start:
                    return records

    async def _replay_batch(self, batch: Sequence[StoredLetter]) -> list[Replayed]:
        try:
            await self._publish([_original(letter) for letter in batch])
        except FatalError as error:
            if len(batch) == 1:
                return [Replayed(letter_id=batch[0].id, stays=str(error))]
            middle = len(batch) // 2
            return [*await self._replay_batch(batch[:middle]), *await self._replay_batch(batch[middle:])]
        await self._publish([_removal(letter.topic, letter.stored_key) for letter in batch])
        return [Replayed(letter_id=letter.id) for letter in batch]

    async def _publish(self, records: Sequence[Outgoing]) -> None:
        if not records:
            return
        try:
            await self._producer.publish(records)
        except _REFUSED as error:
            raise FatalError(
                f"Kafka refuses the record for {records[0].topic} ({type(error).__name__}): raise the topic's "
                "max.message.bytes, or mend its limits of time"
            ) from error
        except (KafkaError, OSError, TimeoutError) as error:
            raise TransientError(
                f"Kafka did not take {len(records)} records for {records[0].topic} ({why(error)}): the "
                "letters that are not told of are still there. Repeat the command."
            ) from error


def _original(letter: StoredLetter) -> Outgoing:
    return Outgoing(
        topic=letter.topic,
        key=letter.key,
        value=letter.value,
        headers=[(REPLAYED_FROM, letter.stored_key)],
        timestamp_ms=letter.timestamp_ms,
    )


def _removal(topic: str, stored_key: bytes) -> Outgoing:
    return Outgoing(topic=f"{topic}{DLQ_SUFFIX}", key=stored_key, value=None, headers=[], timestamp_ms=None)
