"""How a source is stored: `topic:partition:offset`, the topic by a number, or `@` and the id of a request."""

from collections.abc import Iterable, Mapping
from typing import Final

from app.models import PropertyRow
from app.provenance import RecordSource, RequestSource, Source
from storage.pools import Connection
from storage.queries import query

_REQUEST: Final = "@"


def spelled(source: Source | None, topics: Mapping[str, int]) -> str | None:
    """As it is stored; `topics` are the numbers of topics by name."""
    match source:
        case RecordSource():
            return f"{topics[source.topic]}:{source.partition}:{source.offset}"
        case RequestSource():
            return _REQUEST + source.request_id
        case None:
            return None


def read(text: str | None, topics: Mapping[str, str]) -> Source | None:
    """What is stored; `topics` are the names of topics by number. None where nothing is, or nobody knows the number."""
    if text is None:
        return None
    if text.startswith(_REQUEST):
        return RequestSource(text.removeprefix(_REQUEST))
    number, partition, offset = text.split(":")
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
