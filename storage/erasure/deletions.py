"""Erasures in pieces: an entity with many rows is hidden at once, and its rows go in transactions of a bounded size.

1. The erasure, in a short transaction under the writers' exclusive lock: the ledger's entry, a row of
   `entity_deletions`, and the entity's row loses its business key and its properties (`hide`). From then on no read and
   no flush finds it; a record from before is dropped by the ledger, and one from after makes another entity.
2. Pieces, by whichever worker has its turn: some edges or points, and the progress, in one transaction. It shares the
   writers' lock, so no flush waits for it.
3. The last one deletes the entity's row, and with it its name, and writes the counts into the ledger.

Each step is committed or not there, so after a crash another worker goes on with the next piece. Nothing of the entity
can be added meanwhile: flushes find entities by their keys, and merges and other erasures are alone while they run.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

import asyncpg

from app.core.erasure import DeletionsUnderWay
from app.core.errors import TransientError
from app.core.failpoints import NO_HOOKS, Hooks
from app.core.models import Changes, EntityKey, Lookup
from app.observability.metrics import PIECE_ROWS, PIECES
from storage.cache.invalidation import PendingInvalidations
from storage.postgres.errors import translated
from storage.postgres.pools import Connection
from storage.postgres.queries import query
from storage.write.changes import add_lookups, changes_at
from storage.write.erasure_ledger import ErasureLedger
from storage.write.pace import PieceLimits

_PIECES_AT_A_READ: Final = 20  # whose edges are looked for at once
_MOST_COUNTED: Final = 10_000_000
_LEAST_ROWS: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Hidden:
    """An entity that is about to be hidden."""

    entity_id: int
    key: EntityKey
    properties: str  # as they are stored


async def hide(
    connection: Connection,
    ledger: ErasureLedger,
    entities: Sequence[Hidden],
    *,
    subject: bytes,
    erased_at: datetime,
) -> Changes:
    """Hide these in the transaction that holds the writers' lock; what caches hear of it, at no position yet.

    Whoever has a relationship to one of them is not told: a tree leaves out what it does not find.
    """
    ids = [each.entity_id for each in entities]
    await connection.execute(
        query("hide_entities"), ids, [ledger.subject_of_id(number) for number in ids], subject, erased_at
    )
    lookups: set[Lookup] = set()
    for each in entities:
        add_lookups(each.properties, lookups)
    return Changes(
        position=0,
        entities=frozenset(ids),
        keys=frozenset(each.key for each in entities),
        lookups=frozenset(lookups),
    )


class PostgresDeletions:
    """Implements app.ports.erasure.Deletions on the primary."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        invalidations: PendingInvalidations,
        *,
        acquire_timeout_s: float,
        pieces: PieceLimits,
        hooks: Hooks = NO_HOOKS,
    ) -> None:
        self._pool = pool
        self._invalidations = invalidations
        self._acquire_timeout_s = acquire_timeout_s
        self._pieces = pieces
        self._hooks = hooks
        self._rows = pieces.rows
        self._begun = asyncio.Event()
        self._next = (0, 0)  # the entity whose edges are known, and how many pieces it will have had
        self._edges: list[int] = []

    @property
    def pause_s(self) -> float:
        return self._pieces.pause_s

    def begin(self) -> None:
        self._begun.set()

    async def wanted(self, wait_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._begun.wait(), wait_s)
        self._begun.clear()

    async def under_way(self) -> DeletionsUnderWay:
        with translated():
            async with self._pool.acquire(timeout=self._acquire_timeout_s) as connection:
                (row,) = await connection.fetch(query("deletions_under_way"))
                has_room = not row["deletions"] or await self._pieces.has_room(connection)
        return DeletionsUnderWay(
            deletions=row["deletions"],
            rows_left=row["rows_left"],
            still_s=row["still_s"],
            slot_has_room=has_room,
        )

    async def piece(self, *, paced: bool = True) -> bool:
        try:
            if paced:
                await self._pieces.after_others()
            rows = await self._piece(self._pieces.pause_s if paced else 0.0)
        except TransientError as error:
            if isinstance(error.__cause__, TimeoutError):
                self._rows = max(min(_LEAST_ROWS, self._pieces.rows), self._rows // 2)
            self._edges = []
            raise
        if rows is None:
            return False
        self._rows = min(2 * self._rows, self._pieces.rows)
        PIECES.labels("erasure").inc()
        PIECE_ROWS.labels("erasure").inc(rows)
        await self._hooks.reach("between-pieces")
        return True

    async def _piece(self, pause_s: float) -> int | None:
        """The number of rows that it deleted; None where there is nothing to do now."""
        async with self._invalidations.commit() as commit:
            with translated():
                async with self._pool.acquire(timeout=self._acquire_timeout_s) as connection:
                    work = await connection.fetchrow(query("next_deletion"), pause_s)
                    if work is None or not await self._pieces.has_room(connection):
                        return None
                    entity_id: int = work["entity_id"]
                    if work["rows_total"] is None:
                        total = await connection.fetchval(
                            query("rows_of_entities"), [entity_id], _MOST_COUNTED
                        )
                        await connection.execute(query("count_deletion"), entity_id, total)
                    edges = await self._next_edges(connection, entity_id, work["pieces"])
                    async with connection.transaction():
                        if not await connection.fetchval(query("begin_piece")):
                            return None
                        lefts, points = await self._delete(connection, entity_id, edges)
                        commit.begins(partial(changes_at, Changes(position=0, entities=frozenset(lefts))))
                    del self._edges[: len(edges)]
                    self._next = entity_id, work["pieces"] + 1
                    commit.reached(await connection.fetchval(query("flush_position")))
        return len(lefts) + points

    async def _next_edges(self, connection: Connection, entity_id: int, pieces: int) -> list[int]:
        # Another process that had its turn meanwhile has deleted those that are known.
        if self._next != (entity_id, pieces) or not self._edges:
            found = await connection.fetch(
                query("edges_of_entity"), entity_id, _PIECES_AT_A_READ * self._pieces.rows
            )
            self._edges = [row["id"] for row in found]
        return self._edges[: self._rows]

    async def _delete(
        self, connection: Connection, entity_id: int, edges: list[int]
    ) -> tuple[list[int], int]:
        """The left entities of the edges that it deleted, and the number of points."""
        if edges:
            await connection.execute(query("mark_edges"), entity_id, edges)
            rows = await connection.fetch(query("delete_edges"), entity_id, edges)
            await connection.execute(query("note_piece"), entity_id, len(rows), 0)
            return [row["left_entity_id"] for row in rows], 0
        points: int = await connection.fetchval(query("erase_points"), entity_id, self._rows)
        if points:
            await connection.execute(query("note_piece"), entity_id, 0, points)
        else:
            await connection.fetchval(query("finish_deletion"), entity_id)
        return [], points
