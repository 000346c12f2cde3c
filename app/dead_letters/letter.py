"""A dead letter as it lies in its topic: the inverse of `app.dead_letters.sink`."""

from app.config.topics import DLQ_SUFFIX
from app.core.errors import InvalidError
from app.core.records import DeadLetter, Record, StoredLetter


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
