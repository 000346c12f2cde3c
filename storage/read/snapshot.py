"""The whole graph at one moment, by cursors in one transaction of the primary."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final

import asyncpg

from app.core.models import EntityKey
from app.core.snapshot import EdgeNow, EntityNow, PointNow
from storage.postgres.errors import translated
from storage.postgres.pools import Connection
from storage.postgres.queries import query

_PREFETCH: Final = 2_000
_POLL_S: Final = 0.05


class PostgresReading:
    """Implements app.core.snapshot.GraphReading."""

    def __init__(
        self, connection: Connection, *, position: int, at: datetime, since: datetime | None
    ) -> None:
        self._connection = connection
        self._since = since
        self.position = position
        self.at = at

    async def entities(self) -> AsyncIterator[EntityNow]:
        async for row in self._rows("snapshot_entities"):
            yield EntityNow(
                id=row["id"],
                key=EntityKey(row["type"], row["reference"]),
                properties=row["properties"],
                recent=row["recent"],
            )

    async def edges(self) -> AsyncIterator[EdgeNow]:
        async for row in self._rows("snapshot_edges"):
            yield EdgeNow(
                id=row["id"],
                left_id=row["left_entity_id"],
                right_id=row["right_entity_id"],
                left=EntityKey(row["left_type"], row["left_reference"]),
                right=EntityKey(row["right_type"], row["right_reference"]),
                relationship_type=row["relationship_type"],
                metadata=row["metadata"],
                recent=row["recent"],
            )

    async def points(self) -> AsyncIterator[PointNow]:
        async for row in self._rows("snapshot_points"):
            yield PointNow(
                entity_id=row["entity_id"],
                entity=EntityKey(row["type"], row["reference"]),
                key=row["key"],
                granularity=row["granularity"],
                period_start=row["period_start"],
                reference_date=row["reference_date"],
                value=row["value"],
                idempotency_key=row["idempotency_key"],
                recent=row["recent"],
            )

    async def _rows(self, name: str) -> AsyncIterator[asyncpg.Record]:
        with translated():
            async for row in self._connection.cursor(query(name), self._since, prefetch=_PREFETCH):
                yield row


class PostgresSnapshots:
    """Implements app.core.snapshot.GraphSnapshots."""

    def __init__(self, pool: asyncpg.Pool, *, acquire_timeout_s: float) -> None:
        self._pool = pool
        self._acquire_timeout_s = acquire_timeout_s

    @asynccontextmanager
    async def open(self, *, since: datetime | None) -> AsyncIterator[PostgresReading]:
        with translated():
            async with self._pool.acquire(timeout=self._acquire_timeout_s) as connection:
                # A commit can be in the WAL, and so before a slot, a moment before it is visible.
                await _until_ended(connection, await connection.fetchval(query("newest_transaction")))
                async with connection.transaction(isolation="repeatable_read", readonly=True):
                    await connection.execute(query("patient_transaction"))
                    moment = await connection.fetchrow(query("snapshot_moment"))
                    assert moment is not None  # noqa: S101 - scalars are one row
                    yield PostgresReading(
                        connection,
                        position=moment["position"],
                        at=moment["at"],
                        since=since if moment["timed"] else None,
                    )


async def _until_ended(connection: Connection, newest: int) -> None:
    while True:
        if await connection.fetchval(query("oldest_transaction")) >= newest:
            return
        await asyncio.sleep(_POLL_S)
