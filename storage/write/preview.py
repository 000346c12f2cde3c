"""What a batch would change, read in one snapshot of the primary.

Who wins is decided by the queries that decide it for the writer. Of rows about the same thing within the batch, the
fold drops what is strictly older, and SQL orders the ties.
"""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime
from operator import itemgetter
from typing import NamedTuple, TypeVar

import asyncpg

from app.core import dates
from app.core.models import Batch, EntityKey, PropertyRow, RemovedEdge
from app.core.preview import Difference, Outcome, Preview, Stored
from storage.postgres.errors import translated
from storage.postgres.pools import Connection, primary_clock
from storage.postgres.queries import query
from storage.write.candidates import (
    candidates,
    columns,
    edge_columns,
    folded,
    missing_entities,
    property_columns,
    temporal_columns,
)
from storage.write.entity_limits import EntityLimits

R = TypeVar("R", bound=NamedTuple)


class PostgresPreview:
    """Implements app.ports.writing.ProfilePreview on the primary's pool of reads, whose sessions have no staging
    tables."""

    def __init__(self, pool: asyncpg.Pool, *, limits: EntityLimits, acquire_timeout_s: float) -> None:
        self._pool = pool
        self._limits = limits
        self._acquire_timeout_s = acquire_timeout_s

    async def now(self) -> datetime:
        return await primary_clock(self._pool, acquire_timeout_s=self._acquire_timeout_s)

    async def preview(self, batch: Batch) -> Preview:
        told = await folded(batch)
        with translated():
            async with (
                self._pool.acquire(timeout=self._acquire_timeout_s) as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                await connection.execute(query("plan_for_these_sizes"))
                could_win = await candidates(connection, told)
                refused = await self._limits.refused(connection, could_win.properties)
                if refused:
                    told, could_win = _without(told, refused), _without(could_win, refused)
                listed, named = {EntityKey(*row[:2]) for row in told.entities}, sorted(told.keys)
                missing = set(await missing_entities(connection, named))
                return Preview(
                    entities=_entities(listed, named, missing),
                    properties=await _differences(
                        connection,
                        "stored_properties",
                        told.properties,
                        property_columns(told.properties),
                        could_win.properties,
                        key_length=3,
                    ),
                    edges=await _differences(
                        connection,
                        "stored_edges",
                        told.edges,
                        edge_columns(told.edges),
                        could_win.edges,
                        key_length=5,
                    ),
                    temporal=await _differences(
                        connection,
                        "stored_temporal",
                        told.temporal,
                        temporal_columns(told.temporal),
                        could_win.temporal,
                        key_length=5,
                    ),
                    removed_edges=await _removals(connection, told.removed_edges),
                    refused=[(key, refused[key]) for key in sorted(refused)],
                )


def _without(batch: Batch, refused: Collection[EntityKey]) -> Batch:
    return replace(
        batch,
        entities=[row for row in batch.entities if row[:2] not in refused],
        properties=[row for row in batch.properties if row[:2] not in refused],
    )


def _entities(
    listed: set[EntityKey], named: list[EntityKey], missing: set[EntityKey]
) -> list[Difference[EntityKey]]:
    return [
        Difference(row=key, outcome="created" if key in missing else "same")
        for key in named
        if key in missing or key in listed
    ]


async def _differences(
    connection: Connection,
    name: str,
    rows: list[R],
    arrays: list[list[object]],
    could_win: list[R],
    *,
    key_length: int,
) -> list[Difference[R]]:
    """One difference for each key, which is the first `key_length` columns of a row."""
    if not rows:
        return []
    winners = set(could_win)
    best: dict[tuple[object, ...], tuple[R, asyncpg.Record]] = {}
    for record in await connection.fetch(query(name), *arrays):
        row = rows[record["ord"] - 1]
        key = row[:key_length]
        # The writer takes the best of what could win: a later plain edge may, where better metadata is too old.
        if key not in best or (row in winners and best[key][0] not in winners):
            best[key] = row, record
    return [
        Difference(row=row, outcome=_outcome(row, record, wins=row in winners), old=_old(row, record))
        for _, (row, record) in sorted(best.items(), key=itemgetter(0))
    ]


async def _removals(connection: Connection, rows: list[RemovedEdge]) -> list[Difference[RemovedEdge]]:
    if not rows:
        return []
    named = sorted(set(rows))
    standing = {
        named[record["ord"] - 1]: record
        for record in await connection.fetch(query("standing_edges"), *columns(named))
    }
    return [
        Difference(row=row, outcome="removed", old=_stored(standing[row]))
        if row in standing
        else Difference(row=row, outcome="same")
        for row in named
    ]


def _outcome(row: NamedTuple, record: asyncpg.Record, *, wins: bool) -> Outcome:
    if wins and isinstance(row, PropertyRow) and row.value is None:
        return "removed"
    if wins:
        return "changed" if record["stands"] else "created"
    return "same" if record["same"] else "older"


def _old(row: NamedTuple, record: asyncpg.Record) -> Stored | None:
    if not record["stands"]:
        return None
    # A property that stands without a value is a removed one, an edge a plain one.
    return _stored(record, removable=isinstance(row, PropertyRow))


def _stored(record: asyncpg.Record, *, removable: bool = False) -> Stored | None:
    if record["value"] is None and not removable:
        return None
    date = record["reference_date"]
    return Stored(
        value=record["value"],
        reference_date=dates.to_text(date) if isinstance(date, datetime) else date,
        version=record.get("version"),
    )
