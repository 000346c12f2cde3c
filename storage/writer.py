"""The writer: one batch in one transaction, idempotent and independent of order.

compare (read-only) → COPY what could win into the session's staging tables → insert the missing entities → one CTE
for the rest, as a statement of its own → commit → read the position → invalidate. A batch that changes nothing
ends at the comparison: no transaction id, no WAL.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import asyncpg
import msgspec

from app.clock import Clock
from app.models import Batch, Changes, EdgeRow, EntityKey, Lookup, PropertyRow, TemporalRow
from storage.candidates import candidates, folded
from storage.errors import translated
from storage.invalidation import PendingInvalidations
from storage.lookups import lookups_of
from storage.pools import Connection, primary_clock
from storage.queries import query

_STAGING: Final = {
    "staging_entities": ["type", "reference"],
    "staging_properties": list(PropertyRow._fields),
    "staging_edges": list(EdgeRow._fields),
    "staging_temporal": list(TemporalRow._fields),
}
_PARTITIONS_AHEAD: Final = timedelta(days=366)
_LOOKUPS_IN_THREAD_FROM: Final = 200


class _Stored(msgspec.Struct):
    """A property as it is stored."""

    value: msgspec.Raw
    reference_date: str


_PROPERTIES: Final = msgspec.json.Decoder(dict[str, _Stored])


@dataclass(slots=True)
class _Effects:
    """What the statements of one transaction reported."""

    created: list[asyncpg.Record] = field(default_factory=list)
    changed: list[asyncpg.Record] = field(default_factory=list)


class PostgresWriter:
    """Implements app.ports.ProfileWriter. The caller retries TransientError with the same batch."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        invalidations: PendingInvalidations,
        clock: Clock,
        *,
        acquire_timeout_s: float,
        partition_months_from: str,
    ) -> None:
        self._pool = pool
        self._invalidations = invalidations
        self._clock = clock
        self._acquire_timeout_s = acquire_timeout_s
        self._partitions_from = datetime.fromisoformat(f"{partition_months_from}-01").replace(tzinfo=UTC)
        self._known_months: set[datetime] = set()

    async def now(self) -> datetime:
        return await primary_clock(self._pool, acquire_timeout_s=self._acquire_timeout_s)

    async def write(self, batch: Batch) -> Changes:
        with translated():
            async with self._pool.acquire(timeout=self._acquire_timeout_s) as connection:
                could_win = await candidates(connection, folded(batch))
                if not len(could_win):
                    return Changes(position=await connection.fetchval(query("flush_position")))
                await self._ensure_partitions(connection, could_win.temporal)
                effects = _Effects()
                try:
                    async with connection.transaction():
                        await _stage(connection, could_win)
                        effects.created = await connection.fetch(query("insert_missing_entities"), True)
                        effects.changed = await connection.fetch(query("merge_staged"), True)
                    position: int = await connection.fetchval(query("flush_position"))
                except BaseException:
                    # It may have committed, and a retry would find nothing changed.
                    await self._invalidations.submit(await _changes(effects, position=0))
                    raise
        changes = await _changes(effects, position=position)
        await self._invalidations.submit(changes)
        return changes

    async def _ensure_partitions(self, connection: Connection, rows: Sequence[TemporalRow]) -> None:
        limit = self._clock.now() + _PARTITIONS_AHEAD
        months = {
            row.period_start.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
            for row in rows
            if self._partitions_from <= row.period_start < limit
        } - self._known_months
        if months:
            await connection.execute(query("ensure_partitions"), sorted(months))
            self._known_months |= months


async def _stage(connection: Connection, batch: Batch) -> None:
    staged: tuple[tuple[str, Sequence[NamedTuple]], ...] = (
        ("staging_entities", batch.entities),
        ("staging_properties", batch.properties),
        ("staging_edges", batch.edges),
        ("staging_temporal", batch.temporal),
    )
    for table, rows in staged:
        if rows:
            await connection.copy_records_to_table(table, records=rows, columns=_STAGING[table])


async def _changes(effects: _Effects, *, position: int) -> Changes:
    documents = [row["properties"] for row in effects.created]
    for row in effects.changed:
        if row["kind"] == "property":
            documents.append(row["new"])
            if row["old"] is not None:
                documents.append(row["old"])
    if len(documents) < _LOOKUPS_IN_THREAD_FROM:
        lookups = _lookups(documents)
    else:
        lookups = await asyncio.to_thread(_lookups, documents)
    count = {
        kind: sum(r["rows"] for r in effects.changed if r["kind"] == kind) for kind in ("edge", "temporal")
    }
    return Changes(
        position=position,
        entities=frozenset(row["id"] for row in (*effects.created, *effects.changed)),
        keys=frozenset(EntityKey(row["type"], row["reference"]) for row in effects.created),
        lookups=lookups,
        entities_created=len(effects.created),
        properties_changed=sum(len(_PROPERTIES.decode(document)) for document in _new(effects)),
        edges_changed=count["edge"],
        temporal_changed=count["temporal"],
    )


def _new(effects: _Effects) -> list[str]:
    return [row["properties"] for row in effects.created] + [
        row["new"] for row in effects.changed if row["kind"] == "property"
    ]


def _lookups(documents: Sequence[str]) -> frozenset[Lookup]:
    return frozenset(
        lookup
        for document in documents
        for name, stored in _PROPERTIES.decode(document).items()
        for lookup in lookups_of(name, bytes(stored.value).decode())
    )
