"""Merges placeholders into the typed entity of their reference (design, section 3).

It holds the writers' lock exclusively, as an erasure does: a flush that has found the placeholder's id would else add
an edge to an entity that is gone. The search for candidates needs no lock, so writers wait only where there is
something to merge, and for a bounded number of placeholders and edges. A placeholder with more edges than a piece has
moves in pieces: until the last one both entities are there, each with a part of the edges, and whoever goes on after
a crash finds what is left. A flush that comes later may make the placeholder once more; the next round merges it.
"""

from dataclasses import dataclass
from functools import partial
from typing import Final

import asyncpg

from app.core.clock import Clock, SystemClock
from app.core.failpoints import NO_HOOKS, Hooks
from app.core.models import Changes, EntityKey
from app.observability.metrics import PIECE_ROWS, PIECES
from storage.cache.invalidation import PendingInvalidations
from storage.postgres.errors import translated
from storage.postgres.pools import Connection
from storage.postgres.queries import query
from storage.write.changes import changes_at
from storage.write.pace import Pace, PieceLimits
from storage.write.waiting_merges import WaitingMerges

MAX_AT_ONCE: Final = 200
UNKNOWN: Final = "unknown"
_ALL: Final = 2**31


@dataclass(frozen=True, slots=True)
class _Chosen:
    """Placeholders for one transaction: small ones as a whole, or of a large one these edges."""

    ids: frozenset[int]
    edges: list[int] | None = None


class PostgresPlaceholderMerger:
    """Implements app.ports.writing.PlaceholderMerger."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        invalidations: PendingInvalidations,
        *,
        acquire_timeout_s: float,
        pieces: PieceLimits,
        hooks: Hooks = NO_HOOKS,
        clock: Clock | None = None,
    ) -> None:
        self._pool = pool
        self._invalidations = invalidations
        self._acquire_timeout_s = acquire_timeout_s
        self._pieces = pieces
        self._pace = Pace(pieces)
        self._hooks = hooks
        self._waiting = WaitingMerges(clock or SystemClock())

    def waiting(self) -> int:
        return len(self._waiting)

    def still_s(self) -> float:
        return self._waiting.still_s

    async def merge(self) -> int | None:
        while True:
            await self._pace.turn()
            done = await self._piece()
            if done is None or done.merged or not done.edges:
                return None if done is None else done.merged
            await self._hooks.reach("between-pieces")

    async def _piece(self) -> "_Done | None":
        async with self._invalidations.commit() as commit:
            with translated():
                async with self._pool.acquire(timeout=self._acquire_timeout_s) as connection:
                    chosen = await self._choose(connection)
                    if chosen is None:
                        return _Done()
                    if not await self._pieces.has_room(connection):
                        return None
                    async with connection.transaction():
                        if not await connection.fetchval(query("try_merging")):
                            return None
                        await connection.execute(query("begin_erasure"))
                        # Again, in a snapshot that is taken after the lock: what was found may be gone or typed twice.
                        found = await connection.fetch(query("mergeable_placeholders"), MAX_AT_ONCE)
                        rows = [row for row in found if row["old_id"] in chosen.ids]
                        if not rows:
                            self._waiting.merged(chosen.ids)
                            return _Done()
                        if chosen.edges is None:
                            done, changes = await merged(connection, rows)
                        else:
                            done, changes = await _moved(connection, rows, chosen.edges)
                        commit.begins(partial(changes_at, changes))
                    commit.reached(await connection.fetchval(query("flush_position")))
        if done.merged:
            self._waiting.merged(chosen.ids)
        else:
            self._waiting.moved(chosen.ids)
        self._pace.spent(done.edges)
        PIECES.labels("merge").inc()
        PIECE_ROWS.labels("merge").inc(done.edges)
        return done

    async def _choose(self, connection: Connection) -> _Chosen | None:
        """The small ones first, as many as fit into a piece; else a piece of a larger one. None: nothing to do."""
        rows = await connection.fetch(query("mergeable_placeholders"), MAX_AT_ONCE)
        self._waiting.found({row["old_id"]: row["waiting_s"] for row in rows})
        if not rows:
            return None
        most = self._pieces.rows
        sizes = await connection.fetch(
            query("sizes_of_placeholders"), [row["old_id"] for row in rows], most + 1
        )
        by_size = sorted((row["edges"], row["id"]) for row in sizes)
        small, total = set(), 0
        for size, entity_id in by_size:
            total += size
            if total > most:
                break
            small.add(entity_id)
        if small:
            return _Chosen(frozenset(small))
        large = by_size[0][1]
        # Read before the lock is held, since it walks over what was moved and not vacuumed.
        edges = await connection.fetch(query("edges_of_placeholders"), [large], most)
        return _Chosen(frozenset([large]), [row["id"] for row in edges])


@dataclass(frozen=True, slots=True)
class _Done:
    """What one transaction did: placeholders that are gone, edges that were moved."""

    merged: int = 0
    edges: int = 0


async def merged(connection: Connection, rows: list[asyncpg.Record]) -> tuple[_Done, Changes]:
    """Merge these pairs in the transaction that holds the writers' lock; what they make old, at no position yet."""
    old = [row["old_id"] for row in rows]
    edges = [row["id"] for row in await connection.fetch(query("edges_of_placeholders"), old, _ALL)]
    moved, changes = await _moved(connection, rows, edges)
    await connection.execute(query("drop_placeholders"), old, [row["new_id"] for row in rows])
    return _Done(merged=len(rows), edges=moved.edges), changes


async def _moved(
    connection: Connection, rows: list[asyncpg.Record], edges: list[int]
) -> tuple[_Done, Changes]:
    """Move these edges; the placeholders stay."""
    old, new = [row["old_id"] for row in rows], [row["new_id"] for row in rows]
    lefts = await connection.fetch(query("move_edges"), old, new, edges)
    return _Done(edges=len(edges)), Changes(
        position=0,
        entities=frozenset([*old, *new, *(row["left_entity_id"] for row in lefts)]),
        keys=frozenset(EntityKey(UNKNOWN, row["reference"]) for row in rows),
    )
