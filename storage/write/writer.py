"""The writer: one batch in one transaction, idempotent and independent of order.

ledger of erasures → compare (read-only) → COPY what could win into the session's staging tables → insert the missing
entities → one CTE for the rest, as a statement of its own → removals → commit → read the position → invalidate. A
batch that changes nothing ends at the comparison: no transaction id, no WAL.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

import asyncpg

from app.core.clock import Clock
from app.core.failpoints import NO_HOOKS, Hooks
from app.core.models import Batch, Changes, EdgeRow, PropertyRow, TemporalRow
from app.observability.tracing import span
from storage.cache.invalidation import PendingInvalidations
from storage.postgres.errors import translated
from storage.postgres.pools import Connection, primary_clock
from storage.postgres.queries import query
from storage.postgres.stored_sources import SourceTopics, spelled
from storage.write.candidates import candidates, columns, folded
from storage.write.changes import Effects, changes_of
from storage.write.entity_limits import EntityLimits
from storage.write.erasure_ledger import ErasureLedger

_PARTITIONS_AHEAD: Final = timedelta(days=366)


class PostgresWriter:
    """Implements app.ports.writing.ProfileWriter. The caller retries TransientError with the same batch."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        invalidations: PendingInvalidations,
        ledger: ErasureLedger,
        clock: Clock,
        *,
        acquire_timeout_s: float,
        partition_months_from: str,
        limits: EntityLimits,
        provenance: bool,
        hooks: Hooks = NO_HOOKS,
    ) -> None:
        self._pool = pool
        self._invalidations = invalidations
        self._ledger = ledger
        self._clock = clock
        self._acquire_timeout_s = acquire_timeout_s
        self._partitions_from = datetime.fromisoformat(f"{partition_months_from}-01").replace(tzinfo=UTC)
        self._limits = limits
        self._known_months: set[datetime] = set()
        self._topics = SourceTopics() if provenance else None
        self._hooks = hooks

    async def now(self) -> datetime:
        return await primary_clock(self._pool, acquire_timeout_s=self._acquire_timeout_s)

    def moved(self) -> None:
        """The primary is another one."""
        if self._topics is not None:
            self._topics.forget()

    async def write(self, batch: Batch) -> Changes:
        async with self._invalidations.commit() as commit:
            with translated():
                async with self._pool.acquire(timeout=self._acquire_timeout_s) as connection:
                    await self._ensure_partitions(connection, batch.temporal)
                    topics = await self._topics.of(connection, batch.properties) if self._topics else None
                    effects = Effects()
                    with ExitStack() as committing:
                        async with connection.transaction():
                            await self._flush(connection, batch, effects, topics)
                            committing.enter_context(span("commit"))
                            commit.begins(partial(changes_of, effects))
                    commit.reached(await connection.fetchval(query("flush_position")))
            if effects:
                await self._hooks.reach("after-commit")
        assert commit.changes is not None  # noqa: S101 - its transaction has begun to commit
        return commit.changes

    async def _flush(
        self, connection: Connection, batch: Batch, effects: Effects, topics: Mapping[str, int] | None
    ) -> None:
        with span("ledger", rows=len(batch)):
            told = await self._ledger.begin_flush(connection, batch)
        await self._hooks.reach("after-ledger")
        with span("compare"):
            could_win = await candidates(connection, folded(told))
        if not len(could_win):
            return
        if len(could_win) > len(could_win.removed_edges):
            await self._hooks.reach("before-copy")
            with span("copy", rows=len(could_win)):
                await _stage(connection, could_win, topics)
            with span("entities"):
                effects.created = await connection.fetch(query("insert_missing_entities"), True)
            await self._hooks.reach("between-entities-and-merge")
            with span("merge"):
                effects.changed = await connection.fetch(query("merge_staged"), True)
            await self._limits.require(connection, effects)
        if could_win.removed_edges:
            with span("removals"):
                effects.changed += await connection.fetch(
                    query("remove_edges"), *columns(could_win.removed_edges)
                )

    async def _ensure_partitions(self, connection: Connection, rows: Sequence[TemporalRow]) -> None:
        # Before the flush, since a partition is made for good whatever becomes of the rows.
        limit = self._clock.now() + _PARTITIONS_AHEAD
        months = {
            row.period_start.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
            for row in rows
            if self._partitions_from <= row.period_start < limit
        } - self._known_months
        if months:
            await connection.execute(query("ensure_partitions"), sorted(months))
            self._known_months |= months


async def _stage(connection: Connection, batch: Batch, topics: Mapping[str, int] | None) -> None:
    """COPY the rows, without `told_at` where nothing that is stored depends on it, and sources only with `topics`."""
    properties: Sequence[tuple[object, ...]]
    property_columns: Sequence[str] = PropertyRow._fields[:5]
    if topics is None:
        properties = [row[:5] for row in batch.properties]
    else:
        properties = [(*row[:5], spelled(row, topics)) for row in batch.properties]
        property_columns = (*property_columns, "source")
    staged: tuple[tuple[str, Sequence[tuple[object, ...]], Sequence[str]], ...] = (
        ("staging_entities", [row[:2] for row in batch.entities], ("type", "reference")),
        ("staging_properties", properties, property_columns),
        ("staging_edges", batch.edges, EdgeRow._fields),
        ("staging_temporal", [row[:9] for row in batch.temporal], TemporalRow._fields[:9]),
    )
    for table, rows, names in staged:
        if rows:
            await connection.copy_records_to_table(table, records=rows, columns=names)
