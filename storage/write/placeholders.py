"""Merges placeholders into the typed entity of their reference (design, section 3).

It holds the writers' lock exclusively, as an erasure does: a flush that has found the placeholder's id would else add
an edge to an entity that is gone. The search for candidates needs no lock, so writers wait only where there is
something to merge, and for a bounded number. A flush that comes later may make the placeholder anew; the next round
merges it.
"""

from functools import partial
from typing import Final

import asyncpg

from app.core.models import Changes, EntityKey
from storage.cache.invalidation import PendingInvalidations
from storage.postgres.errors import translated
from storage.postgres.pools import Connection
from storage.postgres.queries import query
from storage.write.changes import changes_at

MAX_AT_ONCE: Final = 200
UNKNOWN: Final = "unknown"


class PostgresPlaceholderMerger:
    """Implements app.ports.writing.PlaceholderMerger."""

    def __init__(
        self, pool: asyncpg.Pool, invalidations: PendingInvalidations, *, acquire_timeout_s: float
    ) -> None:
        self._pool = pool
        self._invalidations = invalidations
        self._acquire_timeout_s = acquire_timeout_s

    async def merge(self) -> int | None:
        async with self._invalidations.commit() as commit:
            with translated():
                async with self._pool.acquire(timeout=self._acquire_timeout_s) as connection:
                    if not await connection.fetch(query("mergeable_placeholders"), 1):
                        return 0
                    async with connection.transaction():
                        if not await connection.fetchval(query("try_merging")):
                            return None
                        await connection.execute(query("begin_erasure"))
                        # Again, in a snapshot that is taken after the lock: what was found may be gone or typed twice.
                        rows = await connection.fetch(query("mergeable_placeholders"), MAX_AT_ONCE)
                        if not rows:
                            return 0
                        commit.begins(partial(changes_at, await merged(connection, rows)))
                    commit.reached(await connection.fetchval(query("flush_position")))
        return len(rows)


async def merged(connection: Connection, rows: list[asyncpg.Record]) -> Changes:
    """Merge these pairs in the transaction that holds the writers' lock; what they make old, at no position yet."""
    old, new = [row["old_id"] for row in rows], [row["new_id"] for row in rows]
    lefts = await connection.fetch(query("move_edges"), old, new)
    await connection.execute(query("drop_placeholders"), old, new)
    return Changes(
        position=0,
        entities=frozenset([*old, *new, *(row["left_entity_id"] for row in lefts)]),
        keys=frozenset(EntityKey(UNKNOWN, row["reference"]) for row in rows),
    )
