"""The relationships of one entity from either end, a page at a time, and how many there are of each kind."""

from collections.abc import Callable
from hashlib import blake2b
from typing import Final

import asyncpg
import orjson

from app.ports.graph import Answer, Direction, EdgePlace, RelationshipPage
from storage.cache.keyspace import FORMAT_VERSION
from storage.postgres.replicas import ReadSource
from storage.read.entity_index import rows_of

PAGE_BYTES: Final = 8 * 1024 * 1024  # about, of metadata; a page ends early where they weigh more
LOOKED_AT: Final = 2_000  # relationships of a page that selects: what others cost must not grow with a hub
COUNTED: Final = 50_000  # relationships of each direction
_REMOVED: Final = 50  # relationships that a page passes over before it ends early


class PostgresRelationships:
    """Implements app.ports.graph.RelationshipReader. A replica answers that has reached what the primary has on disk
    now."""

    def __init__(self, source: ReadSource) -> None:
        self._source = source

    async def page(
        self,
        entity_id: int,
        *,
        direction: Direction,
        relationship_type: str | None,
        entity_type: str | None,
        limit: int,
        after: EdgePlace,
        token: int = 0,
        matches: Callable[[str], bool] | None = None,
    ) -> RelationshipPage | None:
        selects = relationship_type is not None or entity_type is not None
        look_at = LOOKED_AT if selects else limit + _REMOVED
        arguments = (direction, *after, look_at, limit + 1, PAGE_BYTES, relationship_type, entity_type)
        found = await self._rows("relationships", entity_id, *arguments, token=token)
        if found is None:
            return None
        rows, answer = found
        listed = [row for row in rows if row["id"] is not None]
        shown = listed[:limit]
        more = None
        if shown and listed[0]["listed"] > len(shown):
            more = EdgePlace(shown[-1]["place"], shown[-1]["id"])
        elif rows[0]["looked"] == look_at:
            more = EdgePlace(rows[0]["last_place"], rows[0]["last_id"])
        body = b"[" + b",".join(map(_item, shown)) + b"]"
        return RelationshipPage(_answered(answer, body, matches, entity_id, *arguments, more), more)

    async def counts(
        self, entity_id: int, *, token: int = 0, matches: Callable[[str], bool] | None = None
    ) -> Answer | None:
        found = await self._rows("relationship_counts", entity_id, COUNTED, token=token)
        if found is None:
            return None
        rows, answer = found
        body = orjson.dumps(
            {
                direction: {
                    "complete": rows[0][f"looked_{direction}"] < COUNTED,
                    "counts": [
                        {
                            "type": row["relationship_type"],
                            "entity_type": row["type"],
                            "count": row["count"],
                        }
                        for row in rows
                        if row["direction"] == direction
                    ],
                }
                for direction in ("out", "in")
            }
        )
        return _answered(answer, body, matches, entity_id)

    async def _rows(
        self, name: str, entity_id: int, *arguments: object, token: int
    ) -> tuple[list[asyncpg.Record], Answer] | None:
        reach = await self._source.position()
        read = await self._source.read(rows_of(name, entity_id, *arguments), reach, token=token)
        if not read.result[0]["there"]:
            return None
        return read.result, Answer(body=None, cache="bypass", verified=read.verified, upper=read.upper)


def _answered(answer: Answer, body: bytes, matches: Callable[[str], bool] | None, *asked: object) -> Answer:
    answer.etag = blake2b(f"{FORMAT_VERSION} {asked}\n".encode() + body, digest_size=12).hexdigest()
    answer.body = None if matches is not None and matches(answer.etag) else body
    return answer


def _item(row: asyncpg.Record) -> bytes:
    metadata = b"" if row["metadata"] is None else b'"metadata":%b,' % row["metadata"].encode()
    date = b"" if row["metadata_date"] is None else b'"metadata_date":"%b",' % row["metadata_date"].encode()
    return (
        b'{"type":%b,%b%b"created_at":"%b","updated_at":"%b","entity":{"id":%d,"type":%b,"reference":%b}}'
        % (
            orjson.dumps(row["relationship_type"]),
            metadata,
            date,
            row["created_at"].encode(),
            row["updated_at"].encode(),
            row["other"],
            orjson.dumps(row["type"]),
            orjson.dumps(row["reference"]),
        )
    )
