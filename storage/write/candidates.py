"""Which rows of a batch could win over what is stored, asked without writing."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeVar

from app.core.models import Batch, EdgeRow, EntityKey, PropertyRow, TemporalRow
from storage.postgres.pools import Connection
from storage.postgres.queries import query
from storage.write import fold

R = TypeVar("R", bound=NamedTuple)


def folded(batch: Batch) -> Batch:
    """The batch without what is strictly older than another row of it, sorted by key. Removed edges stay."""
    return Batch(
        entities=fold.entities(batch.entities),
        properties=fold.properties(batch.properties),
        edges=fold.edges(batch.edges),
        temporal=fold.temporal(batch.temporal),
        removed_edges=batch.removed_edges,
    )


async def candidates(connection: Connection, batch: Batch) -> Batch:
    """The rows that could win over what is stored; of entities those that do not exist; removed edges stay."""
    return Batch(
        entities=await _winners(
            connection, "candidate_entities", batch.entities, columns(row[:2] for row in batch.entities)
        ),
        properties=await _winners(
            connection, "candidate_properties", batch.properties, property_columns(batch.properties)
        ),
        edges=await _winners(connection, "candidate_edges", batch.edges, edge_columns(batch.edges)),
        temporal=await _winners(
            connection, "candidate_temporal", batch.temporal, temporal_columns(batch.temporal)
        ),
        removed_edges=batch.removed_edges,
    )


def columns(rows: Iterable[Sequence[object]]) -> list[list[object]]:
    """Rows as one array a column, to be unnested."""
    return [[*column] for column in zip(*rows, strict=True)]


def property_columns(rows: Iterable[PropertyRow]) -> list[list[object]]:
    """As `columns`, without `told_at` and `source`, which decide nothing here."""
    return columns(row[:5] for row in rows)


def edge_columns(rows: Iterable[EdgeRow]) -> list[list[object]]:
    """As `columns`, without `source`, which decides nothing here."""
    return columns(row[:7] for row in rows)


def temporal_columns(rows: Iterable[TemporalRow]) -> list[list[object]]:
    """As `columns`, without `period`, which follows from period_start, `told_at` and `source`."""
    return columns(row[:5] + row[6:9] for row in rows)


async def missing_entities(connection: Connection, keys: list[EntityKey]) -> list[EntityKey]:
    """Those that do not exist."""
    return await _winners(connection, "candidate_entities", keys, columns(keys))


async def _winners(connection: Connection, name: str, rows: list[R], arrays: list[list[object]]) -> list[R]:
    if not rows:
        return []
    positions = await connection.fetch(query(name), *arrays)
    return [rows[position - 1] for position in sorted(record["ord"] for record in positions)]
