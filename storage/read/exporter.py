"""Everything that is held about one entity, line by line, in one snapshot of the primary."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import asyncpg
import msgspec

from app.core.export import Entity as EntityLine
from app.core.export import ExportLine, Property, Relationship, Temporal
from storage.postgres.errors import translated
from storage.postgres.pools import Connection
from storage.postgres.queries import query
from storage.read.provenance import StoredSources

_PREFETCH: Final = 500  # rows
_PROPERTIES: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


class _Stored(msgspec.Struct):
    reference_date: str
    value: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_STORED: Final = msgspec.json.Decoder(_Stored)


class PostgresExporter:
    """Implements app.ports.graph.ProfileExporter. Of each table a page of rows is in memory at a time."""

    def __init__(self, pool: asyncpg.Pool, *, acquire_timeout_s: float) -> None:
        self._pool = pool
        self._acquire_timeout_s = acquire_timeout_s

    @asynccontextmanager
    async def export(self, entity_id: int) -> AsyncIterator[AsyncIterator[ExportLine] | None]:
        # Translated without what the context holds, whose errors are not PostgreSQL's.
        async with AsyncExitStack() as opened:
            with translated():
                connection = await opened.enter_async_context(
                    self._pool.acquire(timeout=self._acquire_timeout_s)
                )
                await opened.enter_async_context(
                    connection.transaction(isolation="repeatable_read", readonly=True)
                )
                entity = await connection.fetchrow(query("export_entity"), entity_id)
            yield None if entity is None else _lines(connection, entity)


async def _lines(connection: Connection, entity: asyncpg.Record) -> AsyncIterator[ExportLine]:
    with translated():
        yield EntityLine(
            id=entity["id"],
            type=entity["type"],
            reference=entity["reference"],
            created_at=entity["created_at"],
            updated_at=entity["updated_at"],
            exported_at=entity["exported_at"],
        )
        told = StoredSources(entity)
        for name, raw in _PROPERTIES.decode(entity["properties"]).items():
            stored = _STORED.decode(raw)
            removed = True if stored.value is msgspec.UNSET else msgspec.UNSET
            yield Property(
                field=name,
                value=stored.value,
                removed=removed,
                reference_date=stored.reference_date,
                source=told.of(name, stored.reference_date) or msgspec.UNSET,
            )
        async for row in _rows(connection, "export_edges", entity["id"]):
            columns = dict(row)
            metadata = columns.pop("metadata")
            yield Relationship(metadata=msgspec.Raw((metadata or "null").encode()), **columns)
        async for row in _rows(connection, "export_temporal", entity["id"]):
            columns = dict(row)
            yield Temporal(value=msgspec.Raw(columns.pop("value").encode()), **columns)


def _rows(connection: Connection, name: str, entity_id: int) -> Any:
    return connection.cursor(query(name), entity_id, prefetch=_PREFETCH)
