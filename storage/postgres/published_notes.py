"""Which topics of notes are complete, in PostgreSQL."""

import asyncpg

from storage.postgres.errors import translated
from storage.postgres.queries import query


class PostgresNoteRegister:
    """Implements app.ports.events.NoteRegister on the primary."""

    def __init__(self, pool: asyncpg.Pool, *, acquire_timeout_s: float) -> None:
        self._pool = pool
        self._acquire_timeout_s = acquire_timeout_s

    async def complete(self, topic: str) -> bool:
        with translated():
            async with self._pool.acquire(timeout=self._acquire_timeout_s) as connection:
                return bool(await connection.fetchval(query("notes_complete"), topic))

    async def note_complete(self, topic: str) -> None:
        with translated():
            async with self._pool.acquire(timeout=self._acquire_timeout_s) as connection:
                await connection.execute(query("note_complete"), topic)
