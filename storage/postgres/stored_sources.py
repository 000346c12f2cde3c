"""How a source is stored: `check:topic:partition:offset`, the topic by a number, or `check:@` and a request's id.

The check is of the date that the statement won with. Who writes properties and knows nothing of sources (an operator in
psql, a worker of the version before) leaves the old source there; by its check it is seen to be of another date, and is
told to nobody.
"""

from collections.abc import Iterable, Mapping
from typing import Final
from zlib import crc32

from app.core.models import PropertyRow, RecordSource, RequestSource, Source
from storage.postgres.pools import Connection
from storage.postgres.queries import query

_REQUEST: Final = "@"
_CHECKS: Final = 9_973  # as many different ones


def spelled(row: PropertyRow, topics: Mapping[str, int]) -> str | None:
    """The source of a row as it is stored; `topics` are the numbers of topics by name."""
    source = row.source
    if source is None:
        return None
    check = crc32(row.reference_date.encode()) % _CHECKS
    if isinstance(source, RecordSource):
        return f"{check}:{topics[source.topic]}:{source.partition}:{source.offset}"
    return f"{check}:{_REQUEST}{source.request_id}"


def read(text: str | None, reference_date: str, topics: Mapping[str, str]) -> Source | None:
    """What is stored of a property of this date; `topics` are the names of topics by number.

    None where nothing is, where it is of another date, or nobody knows the number.
    """
    if text is None:
        return None
    check, _, told = text.partition(":")
    if int(check) != crc32(reference_date.encode()) % _CHECKS:
        return None
    if told.startswith(_REQUEST):
        return RequestSource(told.removeprefix(_REQUEST))
    number, partition, offset = told.split(":")
    name = topics.get(number)
    return None if name is None else RecordSource(name, int(partition), int(offset))


class SourceTopics:
    """The numbers of topics, made on demand and known from then on."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    async def of(self, connection: Connection, rows: Iterable[PropertyRow]) -> Mapping[str, int]:
        """Those of all topics that the rows come from. Writes where a topic is new, and is no part of a flush."""
        named = {row.source.topic for row in rows if isinstance(row.source, RecordSource)}
        missing = sorted(named - self._known.keys())
        if missing:
            # A number that another one makes meanwhile is seen by a statement of its own alone.
            await connection.execute(query("note_source_topics"), missing)
            found = await connection.fetch(query("source_topics"), missing)
            self._known |= {row["name"]: row["id"] for row in found}
        return self._known

    def forget(self) -> None:
        """The primary is another one, which may not have the latest."""
        self._known = {}
