"""The entities as rows: listed in order of id, and where merged ones went."""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Final

import asyncpg
import orjson

from app.ports.graph import Answer
from storage.cache.fragments import visible
from storage.cache.keyspace import FORMAT_VERSION
from storage.postgres.pools import Connection
from storage.postgres.positioned import Ask, Reached, moment, position
from storage.postgres.queries import query
from storage.postgres.replicas import ReadSource
from storage.read.budget import Cost
from storage.read.walking import apart

PAGE_BYTES: Final = 8 * 1024 * 1024  # about, of properties; a page ends early where they weigh more


class PostgresEntityIndex:
    """Implements app.ports.graph.EntityIndex. A replica answers that has reached what the primary has on disk now."""

    def __init__(self, source: ReadSource) -> None:
        self._source = source

    async def page(self, kind: str | None, *, limit: int, after: int, token: int = 0) -> Answer:
        name, arguments = ("entities_after", (after, limit + 1, PAGE_BYTES))
        if kind is not None:
            name, arguments = "entities_of_type_after", (after, limit + 1, PAGE_BYTES, kind)  # type: ignore[assignment]
        reach = await self._source.position()
        read = await self._source.read(rows_of(name, *arguments), reach, token=token)
        rows = read.result[:limit]
        more = bool(rows) and rows[0]["listed"] > len(rows)
        asked = f"{FORMAT_VERSION} {after} {limit} {more} {kind}\n".encode()
        size = sum([len(row["properties"]) for row in rows])
        body, etag = await apart(Cost(size_bytes=size), _page, rows, asked)
        return Answer(
            body=body,
            cache="bypass",
            etag=etag,
            verified=read.verified,
            upper=read.upper,
            next_after=rows[-1]["id"] if more else None,
        )

    async def moved_to(self, ids: Sequence[int]) -> Mapping[int, int]:
        reach = await self._source.position()
        read = await self._source.read(rows_of("merged_ids", ids), reach)
        return {row["old_id"]: row["new_id"] for row in read.result}


def rows_of(name: str, *arguments: object) -> Ask[list[asyncpg.Record]]:
    """Asks a server for the rows of a query."""

    async def ask(connection: Connection, least: int) -> Reached[list[asyncpg.Record]] | None:
        then = await moment(connection)
        if then.position < least:
            return None
        rows = await connection.fetch(query(name), *arguments)
        return Reached(rows, then.position, await position(connection), then)

    return ask


def _page(rows: Sequence[asyncpg.Record], asked: bytes) -> tuple[bytes, str]:
    """The JSON array, and the tag of it and of what was asked."""
    parts = [b"["]
    for row in rows:
        parts += (_item(row), b",")
    parts[max(1, len(parts) - 1) :] = (b"]",)
    body = b"".join(parts)
    tag = blake2b(asked, digest_size=12)
    tag.update(body)
    return body, tag.hexdigest()


def _item(row: asyncpg.Record) -> bytes:
    return b'{"id":%d,"type":%b,"reference":%b,"properties":%b,"created_at":"%b","updated_at":"%b"}' % (
        row["id"],
        orjson.dumps(row["type"]),
        orjson.dumps(row["reference"]),
        visible(row["properties"]),
        row["created_at"].encode(),
        row["updated_at"].encode(),
    )
