"""Where topics ended, day by day."""

import json
from collections.abc import Mapping, Sequence

import asyncpg

from storage.postgres.errors import translated
from storage.postgres.queries import query
from storage.write.erasure_ledger import spelled_ends


class PostgresLogNotes:
    """Implements app.ports.erasure.LogNotes on the primary."""

    def __init__(self, pool: asyncpg.Pool, *, acquire_timeout_s: float) -> None:
        self._pool = pool
        self._acquire_timeout_s = acquire_timeout_s

    async def note(self, ends: Mapping[str, Sequence[int]]) -> None:
        with translated():
            async with self._pool.acquire(timeout=self._acquire_timeout_s) as connection:
                await connection.execute(query("note_log_ends"), spelled_ends(ends))

    async def notes(self) -> Sequence[tuple[float, Mapping[str, Sequence[int]]]]:
        with translated():
            async with self._pool.acquire(timeout=self._acquire_timeout_s) as connection:
                rows = await connection.fetch(query("noted_log_ends"))
                return [(row["days"], json.loads(row["log_ends"])) for row in rows]
