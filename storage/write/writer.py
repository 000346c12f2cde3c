"""The writer: one batch in one transaction, idempotent and independent of order.

ledger of erasures → compare (read-only) → COPY what could win into the connection's staging tables → one call of a
function that inserts the missing entities, merges the rest in a statement of its own, and removes edges → commit → read
the position → invalidate. A batch that changes nothing ends at the comparison: no transaction id, no WAL.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from functools import partial
from operator import itemgetter
from typing import Any, Final

import asyncpg

from app.core.errors import FullError, InvalidError, TooMuchAtOnceError, TransientError
from app.core.failpoints import NO_HOOKS, Hooks
from app.core.models import Batch, Changes, EdgeRow, PropertyRow, RemovedEdge, TemporalRow
from app.core.pieces import Pieces
from app.core.refusals import RefusedRowsError
from app.observability.tracing import past_spans, span
from storage.cache.commit import Commit
from storage.cache.invalidation import PendingInvalidations
from storage.postgres.errors import translated
from storage.postgres.pools import Connection, primary_clock
from storage.postgres.queries import query
from storage.postgres.stored_sources import SourceTopics, spelled
from storage.write.candidates import Growth, candidates, columns, folded, value_bytes
from storage.write.changes import Effects, changes_of
from storage.write.entity_limits import EntitiesTooLargeError, EntityLimits
from storage.write.erasure_ledger import ErasureLedger, spelled_ends
from storage.write.refused_values import refused_rows
from storage.write.room import Room

_COPIED_AT_ONCE: Final = 250  # rows, which take some microseconds each to encode


class PostgresWriter:
    """Implements app.ports.writing.ProfileWriter. The caller retries TransientError with the same batch."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        invalidations: PendingInvalidations,
        ledger: ErasureLedger,
        *,
        acquire_timeout_s: float,
        limits: EntityLimits,
        provenance: bool,
        room: Room,
        hooks: Hooks = NO_HOOKS,
    ) -> None:
        self._pool = pool
        self._invalidations = invalidations
        self._ledger = ledger
        self._acquire_timeout_s = acquire_timeout_s
        self._limits = limits
        self._topics = SourceTopics() if provenance else None
        self._hooks = hooks
        self._room = room

    async def now(self) -> datetime:
        return await primary_clock(self._pool, acquire_timeout_s=self._acquire_timeout_s)

    def moved(self) -> None:
        """The primary is another one."""
        if self._topics is not None:
            self._topics.forget()

    async def write(self, batch: Batch) -> Changes:
        try:
            changes = await self._write(batch)
        except FullError as error:
            self._room.lacks(str(error))
            raise
        self._room.found()
        return changes

    async def _write(self, batch: Batch) -> Changes:
        effects = Effects()
        async with self._invalidations.commit() as commit:
            with translated():
                async with self._pool.acquire(timeout=self._acquire_timeout_s) as connection:
                    topics = await self._topics.of(connection, batch.properties) if self._topics else None
                    try:
                        await self._transaction(connection, batch, effects, topics, commit)
                    except InvalidError as error:
                        # Which rows it was is asked once it is rolled back, so that nothing waits for the answer.
                        raise await self._named(connection, batch, error) or error from None
                    commit.reached(await connection.fetchval(query("flush_position")))
            if effects:
                await self._hooks.reach("after-commit")
        assert commit.changes is not None  # noqa: S101 - its transaction has begun to commit
        return commit.changes

    async def _transaction(
        self,
        connection: Connection,
        batch: Batch,
        effects: Effects,
        topics: Mapping[str, int] | None,
        commit: Commit,
    ) -> None:
        """Flush and commit. Raises as `translated` does, and TooMuchAtOnceError where the time was not enough."""
        try:
            with translated(), ExitStack() as committing:
                async with connection.transaction():
                    await self._flush(connection, batch, effects, topics)
                    committing.enter_context(span("commit"))
                    commit.begins(partial(changes_of, effects))
        except TransientError as error:
            if isinstance(error.__cause__, TimeoutError):
                raise TooMuchAtOnceError("PostgreSQL did not write it in time.") from error
            raise

    async def _named(
        self, connection: Connection, batch: Batch, error: InvalidError
    ) -> RefusedRowsError | None:
        """The rows for which a batch of several was refused, where that can be found out."""
        if len(batch) == 1 or isinstance(error, RefusedRowsError):
            return None
        if not isinstance(error, EntitiesTooLargeError):
            return await refused_rows(connection, batch)
        return await self._limits.refused_rows(connection, batch, error.rows)

    async def _flush(
        self, connection: Connection, batch: Batch, effects: Effects, topics: Mapping[str, int] | None
    ) -> None:
        with span("ledger", rows=len(batch)):
            told = await self._ledger.begin_flush(connection, batch)
        await self._hooks.reach("after-ledger")
        with span("compare"):
            growth = Growth(self._limits.measured_from)
            could_win = await candidates(connection, await folded(told), growth)
        effects.compare(batch, told, could_win)
        if not len(could_win):
            return
        await self._limits.require_room(connection, batch, could_win.properties, growth)
        is_staged = len(could_win) > len(could_win.removed_edges)
        if is_staged:
            await self._hooks.reach("before-copy")
            with span("copy", rows=len(could_win)):
                await _stage(connection, could_win, topics)
        # From here on rows are locked: two round trips, this one and COMMIT, however busy the process is.
        removed = [
            *(columns(could_win.removed_edges) or [[]] * len(RemovedEdge._fields)),
            None if batch.log_ends is None else spelled_ends(batch.log_ends),
        ]
        sizes = self._limits.measured_from, self._limits.counted_from, self._limits.property_bytes
        if self._hooks.waits_at("between-entities-and-merge"):
            await self._flush_in_steps(connection, effects, removed, sizes, is_staged=is_staged)
        else:
            effects.add(await connection.fetch(query("flush_staged"), is_staged, *sizes, *removed))
            past_spans(effects.steps)
        self._limits.require(effects, could_win.properties)

    async def _flush_in_steps(
        self,
        connection: Connection,
        effects: Effects,
        removed: Sequence[object],
        sizes: tuple[int, int, int],
        *,
        is_staged: bool,
    ) -> None:
        """What flush_staged does, with a place between its statements at which a test can stop."""
        if is_staged:
            effects.add(await connection.fetch(query("insert_missing_entities"), True, *sizes[:2]))
            await self._hooks.reach("between-entities-and-merge")
            effects.add(await connection.fetch(query("merge_staged"), True, *sizes))
        if removed[0]:
            effects.add(await connection.fetch(query("remove_edges"), *removed))


async def _stage(connection: Connection, batch: Batch, topics: Mapping[str, int] | None) -> None:
    """COPY the rows, without `told_at` where nothing that is stored depends on it, and sources only with `topics`."""

    def with_source(row: PropertyRow) -> tuple[object, ...]:
        return (*row[:5], spelled(row, topics or {}))

    property_columns = PropertyRow._fields[:5]
    staged: tuple[tuple[str, Sequence[Any], Callable[[Any], tuple[object, ...]], Sequence[str]], ...] = (
        ("staging_entities", batch.entities, itemgetter(slice(2)), ("type", "reference")),
        ("staging_properties", batch.properties, itemgetter(slice(5)), property_columns)
        if topics is None
        else ("staging_properties", batch.properties, with_source, (*property_columns, "source")),
        ("staging_edges", batch.edges, itemgetter(slice(7)), EdgeRow._fields[:7]),
        ("staging_temporal", batch.temporal, itemgetter(slice(9)), TemporalRow._fields[:9]),
    )
    for table, rows, columns_of, names in staged:
        if rows:
            await connection.copy_records_to_table(table, records=_in_pieces(rows, columns_of), columns=names)


async def _in_pieces(
    rows: Sequence[Any], columns_of: Callable[[Any], tuple[object, ...]]
) -> AsyncIterator[tuple[object, ...]]:
    async for piece in Pieces(rows, items=_COPIED_AT_ONCE, size=value_bytes):
        for row in piece:
            yield columns_of(row)
