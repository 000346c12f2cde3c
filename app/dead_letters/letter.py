"""A dead letter as it lies in its topic: the inverse of `app.dead_letters.sink`."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.config.topics import DLQ_SUFFIX

if TYPE_CHECKING:
    from app.ports import Record


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
        """`topic/partition/offset` of the original record."""
        return id_of(self.stored_key)


def id_of(stored_key: bytes) -> str:
    """The key of a dead letter, as people name it."""
    return stored_key.decode(errors="backslashreplace")


def read_letter(record: "Record") -> StoredLetter:
    """Read a record of a dead-letter topic, whoever wrote it.

    Flink's letters bear the headers of the service's own, in another order. A header that is missing or that
    can't be read is made up for: the topic and the time by the record itself, the error by `?`.
    """
    headers = {name: content or b"" for name, content in record.headers}  # a null header comes as None
    return StoredLetter(
        stored_key=record.key or b"",
        topic=record.topic.removesuffix(DLQ_SUFFIX),
        timestamp_ms=_integer(headers.get("dlq.timestamp"), otherwise=record.timestamp),
        key=headers.get("dlq.key"),
        value=None if "dlq.tombstone" in headers else record.value,
        error=_text(headers.get("dlq.error", b"?")),
        reason=_text(headers.get("dlq.reason", b"")),
        headers=tuple((name, content or b"") for name, content in record.headers),
    )


def _text(content: bytes) -> str:
    return content.decode(errors="backslashreplace")


def _integer(content: bytes | None, *, otherwise: int) -> int:
    try:
        return otherwise if content is None else int(content)
    except ValueError:
        return otherwise
