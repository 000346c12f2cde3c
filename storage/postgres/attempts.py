"""Which partitions processes began to read, and the record that was in hand when one died, in PostgreSQL."""

import asyncio
from typing import Final

import asyncpg

from app.core.records import Partition
from app.ports.attempts import Began
from storage.postgres.errors import translated
from storage.postgres.queries import query

_TIMEOUT_S: Final = 5.0  # a server that does not answer is the flush's to wait for


class PostgresAttempts:
    """Implements app.ports.attempts.AttemptLog on the primary."""

    def __init__(self, pool: asyncpg.Pool, group: str) -> None:
        self._pool = pool
        self._group = group

    async def begin(self, partition: Partition, offset: int) -> Began:
        row = await self._ask("begin_partition", partition, offset)
        assert row is not None  # noqa: S101 - it returns the row that it writes
        return Began(
            starts=row["starts"],
            in_hand=row["in_hand"],
            tries=row["tries"],
            set_aside=frozenset(row["set_aside"]),
        )

    async def take(self, partition: Partition, offset: int) -> None:
        await self._ask("take_in_hand", partition, offset)

    async def outlived(self, partition: Partition) -> None:
        await self._ask("out_of_hand", partition)

    async def set_aside(self, partition: Partition, offset: int) -> None:
        await self._ask("note_set_aside", partition, offset)

    async def _ask(self, name: str, partition: Partition, *more: int) -> asyncpg.Record | None:
        with translated():
            async with asyncio.timeout(_TIMEOUT_S), self._pool.acquire() as connection:
                return await connection.fetchrow(
                    query(name), self._group, partition.topic, partition.number, *more
                )
