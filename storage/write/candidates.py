"""Which rows of a batch could win over what is stored, asked without writing."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Final, NamedTuple, TypeVar

from app.core.models import Batch, EdgeRow, EntityKey, EntityRow, PropertyRow, TemporalRow
from app.core.pieces import Pieces
from storage.postgres.pools import Connection
from storage.postgres.queries import query
from storage.write import fold

R = TypeVar("R", bound=NamedTuple)

_COMPARED_AT_ONCE: Final = 1_000
_NEVER: Final = 2**31 - 1


async def folded(batch: Batch) -> Batch:
    """The batch without what is strictly older than another row of it. Removed edges stay."""
    return Batch(
        entities=await fold.entities(batch.entities),
        properties=await fold.properties(batch.properties),
        edges=await fold.edges(batch.edges),
        temporal=await fold.temporal(batch.temporal),
        removed_edges=batch.removed_edges,
    )


@dataclass(frozen=True, slots=True)
class Growth:
    """About how many bytes entities of more than `large_from` stored bytes would have, by what a comparison saw."""

    large_from: int
    bytes: dict[EntityKey, int] = field(default_factory=dict)

    def add(self, row: PropertyRow, held: int, old: int) -> None:
        """This property would replace `old` bytes of the `held` ones."""
        entity = EntityKey(row.type, row.reference)
        self.bytes[entity] = self.bytes.get(entity, held) + value_bytes(row) - old


async def candidates(connection: Connection, batch: Batch, growth: Growth | None = None) -> Batch:
    """The rows that could win over what is stored; of entities those that do not exist; removed edges stay.

    `growth` learns what the winning properties would add to large entities.
    """
    return Batch(
        entities=await _winners(connection, "candidate_entities", batch.entities, entity_columns),
        properties=await _winning_properties(connection, batch.properties, growth or Growth(_NEVER)),
        edges=await _winners(connection, "candidate_edges", batch.edges, edge_columns),
        temporal=await _winners(connection, "candidate_temporal", batch.temporal, temporal_columns),
        removed_edges=batch.removed_edges,
    )


def columns(rows: Iterable[Sequence[object]]) -> list[list[object]]:
    """Rows as one array a column, to be unnested."""
    return [[*column] for column in zip(*rows, strict=True)]


def entity_columns(rows: Iterable[EntityRow]) -> list[list[object]]:
    """The names alone."""
    return columns(row[:2] for row in rows)


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
    return await _winners(connection, "candidate_entities", keys, columns)


async def _winning_properties(
    connection: Connection, rows: list[PropertyRow], growth: Growth
) -> list[PropertyRow]:
    won: list[PropertyRow] = []
    async for piece in Pieces(rows, items=_COMPARED_AT_ONCE, size=value_bytes):
        found = await connection.fetch(
            query("candidate_properties"), *property_columns(piece), growth.large_from
        )
        for record in sorted(found, key=itemgetter("ord")):
            row = piece[record["ord"] - 1]
            won.append(row)
            if record["held"] is not None:
                growth.add(row, record["held"], record["old"])
    return won


async def _winners(
    connection: Connection, name: str, rows: list[R], columns_of: Callable[[Sequence[R]], list[list[object]]]
) -> list[R]:
    """Ask for so many rows at once as their parameters are encoded in some milliseconds, which nothing interrupts.

    Each question has a snapshot of its own. What loses against an older state loses against every later one.
    """
    won: list[R] = []
    async for piece in Pieces(rows, items=_COMPARED_AT_ONCE, size=value_bytes):
        positions = await connection.fetch(query(name), *columns_of(piece))
        won += [piece[position - 1] for position in sorted(record["ord"] for record in positions)]
    return won


def value_bytes(row: NamedTuple) -> int:
    """Of its value or metadata, if it has any: what is large of a row."""
    value = getattr(row, "value", None) or getattr(row, "metadata", None)
    return 0 if value is None else len(value)
