"""Records as they come from Kafka and go there: consumed ones, dead letters, domain events."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import msgspec


class Record(Protocol):
    """What is used of a consumed record (aiokafka's ConsumerRecord has it)."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...  # milliseconds since 1970
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


def size_of(record: Record) -> int:
    """Bytes of its value."""
    return 0 if record.value is None else len(record.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A record that can't be processed, with its provenance; `value` None is a tombstone."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    error: str  # the InvalidError's code
    reason: str


class OutgoingEvent(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A record of the domain-events topic; it goes to the partition of `partition_key`, by default that of its key."""

    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]
    timestamp_ms: int
    partition_key: bytes | None = None


class PublishedNote(NamedTuple):
    """What the compacted topic holds of one thing that consumers know; `value` None: it ended, and is forgotten."""

    key: bytes
    value: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredLetter:
    """What a dead-letter topic tells of one record; `value` None is a tombstone."""

    stored_key: bytes  # removes the letter from its topic
    topic: str  # the original one
    timestamp_ms: int  # the original record's
    key: bytes | None  # the original record's
    value: bytes | None
    error: str  # the InvalidError's code, `?` where no header tells it
    reason: str
    headers: tuple[tuple[str, bytes], ...]

    @property
    def id(self) -> str:
        """`topic/partition/offset` of the original record; with what it is about, where that is a part of it alone."""
        return id_of(self.stored_key)

    @property
    def path(self) -> str:
        """The path in the contract of the source, such as `traits[].name`; empty where no header has it."""
        return dict(self.headers).get("dlq.path", b"").decode(errors="backslashreplace")


def id_of(stored_key: bytes) -> str:
    """The key of a dead letter, as people name it."""
    return stored_key.decode(errors="backslashreplace")


class Partition(NamedTuple):
    """A partition that is assigned to this process."""

    topic: str
    number: int


class Offsets(NamedTuple):
    """`acked`: the position after the acknowledged prefix; `end`: the position after what can be read by now."""

    acked: int
    end: int

    @property
    def lag(self) -> int:
        """Offsets that are not acknowledged, transaction markers and compacted ones among them."""
        return max(0, self.end - self.acked)
