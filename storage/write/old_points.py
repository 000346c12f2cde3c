"""Deletes points that are older than they are kept, without events and in small transactions.

First the publication is told to leave them out, by a filter of rows on their reference date, so that neither the
deletions nor Debezium say anything of them. Caches hear of each deletion as of any other write.
"""

import asyncio
from datetime import datetime
from functools import partial
from typing import Final

import asyncpg

from app.core.clock import Clock
from app.core.errors import TransientError
from app.core.models import Changes
from storage.cache.invalidation import PendingInvalidations
from storage.postgres.errors import translated
from storage.postgres.queries import query
from storage.write.changes import changes_at

IDS_AT_ONCE: Final = 500
_PATIENCE_S: Final = 300.0
_POLL_S: Final = 0.2


class OldPoints:
    """Implements app.ports.writing.PointExpiry."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        invalidations: PendingInvalidations,
        clock: Clock,
        *,
        acquire_timeout_s: float,
    ) -> None:
        self._pool = pool
        self._invalidations = invalidations
        self._clock = clock
        self._acquire_timeout_s = acquire_timeout_s

    async def expire(self, before: datetime) -> int:
        """As the port says. May be repeated, and goes on after an interruption."""
        with translated():
            async with self._pool.acquire(timeout=self._acquire_timeout_s) as connection:
                await connection.fetchval(query("publish_points_from"), before)
                last: int = await connection.fetchval(query("last_entity_with_points"))
        total = 0
        for after in range(0, last, IDS_AT_ONCE):
            total += await self._delete(before, after, after + IDS_AT_ONCE)
        return total

    async def _delete(self, before: datetime, after: int, up_to: int) -> int:
        await self._wait_for_slots()
        async with self._invalidations.commit() as commit:
            with translated():
                async with self._pool.acquire(timeout=self._acquire_timeout_s) as connection:
                    async with connection.transaction():
                        rows = await connection.fetch(query("delete_old_points"), before, after, up_to)
                        ids = frozenset(row["entity_id"] for row in rows)
                        commit.begins(partial(changes_at, Changes(position=0, entities=ids)))
                    commit.reached(await connection.fetchval(query("flush_position")))
        return sum(row["points"] for row in rows)

    async def _wait_for_slots(self) -> None:
        """Deletions are not published, but their WAL passes through the slots."""
        least = None
        since = self._clock.monotonic()
        while True:
            with translated():
                async with self._pool.acquire(timeout=self._acquire_timeout_s) as connection:
                    slot = await connection.fetchrow(query("fullest_slot"))
            if slot is None or slot["held"] <= slot["allowed"]:
                return
            if least is None or slot["held"] < least:
                least, since = slot["held"], self._clock.monotonic()
            elif self._clock.monotonic() > since + _PATIENCE_S:
                held = slot["held"] // 1_048_576
                raise TransientError(
                    f"The replication slot {slot['name']} holds {held} MB of WAL and does not move: start its "
                    "connector, or drop it, and run this again."
                )
            await asyncio.sleep(_POLL_S)
