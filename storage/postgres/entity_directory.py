"""Ids and business keys, and the visibility of commits, read on the primary."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

import asyncpg

from app.core.errors import TransientError
from app.core.models import EntityKey
from storage.postgres.errors import translated
from storage.postgres.queries import query

_POLL_S: Final = 0.005


class PostgresDirectory:
    """Implements app.ports.graph.EntityDirectory."""

    def __init__(self, pool: asyncpg.Pool, *, acquire_timeout_s: float) -> None:
        self._pool = pool
        self._acquire_timeout_s = acquire_timeout_s

    async def keys_of(self, ids: Sequence[int]) -> Mapping[int, EntityKey]:
        with translated():
            async with self._pool.acquire(timeout=self._acquire_timeout_s) as connection:
                rows = await connection.fetch(query("keys_of_ids"), ids)
        return {row["id"]: EntityKey(row["type"], row["reference"]) for row in rows}

    async def types_of(self, references: Sequence[str]) -> Mapping[str, list[str]]:
        with translated():
            async with self._pool.acquire(timeout=self._acquire_timeout_s) as connection:
                rows = await connection.fetch(query("types_of_references"), references)
        return {row["reference"]: row["types"] for row in rows}


class PostgresCommitLog:
    """Implements app.ports.caching.CommitLog."""

    def __init__(self, pool: asyncpg.Pool, *, acquire_timeout_s: float) -> None:
        self._pool = pool
        self._acquire_timeout_s = acquire_timeout_s

    async def visible_position(self, xids: Sequence[int], *, timeout_s: float) -> int:
        deadline = asyncio.get_running_loop().time() + timeout_s
        wanted = sorted(set(xids))
        with translated():
            async with self._pool.acquire(timeout=self._acquire_timeout_s) as connection:
                while not await connection.fetchval(query("visible_transactions"), wanted):
                    if asyncio.get_running_loop().time() > deadline:
                        raise TransientError("A transaction that was decoded is not visible yet.")
                    await asyncio.sleep(_POLL_S)
                position: int = await connection.fetchval(query("flush_position"))
                return position
