"""The fold: of rows about the same thing in one batch, drop what is strictly older.

Ties stay, since they are decided in one place, in SQL, which also sorts what it locks. What is left comes in the order
in which things were named first, and ties at the end.
"""

from collections.abc import Callable, Sequence
from operator import attrgetter, itemgetter
from typing import Any, Final, TypeVar

from app.core.models import EdgeRow, EntityRow, PropertyRow, TemporalRow
from app.core.pieces import Pieces

R = TypeVar("R", PropertyRow, EdgeRow, TemporalRow)
Of = Callable[[Any], Any]

_AT_ONCE: Final = 500  # rows, which take a microsecond or two each


async def entities(rows: Sequence[EntityRow]) -> list[EntityRow]:
    """Each entity once."""
    named: dict[tuple[str, ...], EntityRow] = {}
    async for piece in Pieces(rows, items=_AT_ONCE):
        named.update((row[:2], row) for row in piece)
    return list(named.values())


async def properties(rows: Sequence[PropertyRow]) -> list[PropertyRow]:
    """Of one field of one entity, the rows of the latest date, one for each value."""
    return await _newest(rows, itemgetter(slice(3)), attrgetter("reference_date"), attrgetter("value"))


async def edges(rows: Sequence[EdgeRow]) -> list[EdgeRow]:
    """Of one relationship, the rows of the newest metadata, and the latest one of those without any."""
    found = await _newest(rows, _described_edge, attrgetter("told_at"), attrgetter("metadata"))
    described = {row[:5]: row.told_at for row in found if row.metadata is not None}
    return [
        row
        for row in found
        if row.metadata is not None or (at := described.get(row[:5])) is None or row.told_at > at
    ]


async def temporal(rows: Sequence[TemporalRow]) -> list[TemporalRow]:
    """Of one point, the rows of the latest (reference date, version), one for each value."""
    rank = attrgetter("reference_date", "version")
    return await _newest(rows, itemgetter(slice(5)), rank, attrgetter("value"))


def _described_edge(row: EdgeRow) -> tuple[object, bool]:
    return row[:5], row.metadata is None


async def _newest(rows: Sequence[R], key: Of, rank: Of, value: Of) -> list[R]:
    """Of rows with the same key those of the highest rank, one for each value.

    Rows of equal rank and value differ in nothing that decides anything: the first one stays, and with it its source.
    """
    newest: dict[object, R] = {}
    ties: dict[object, R] = {}
    async for piece in Pieces(rows, items=_AT_ONCE):
        for row in piece:
            about = key(row)
            kept = newest.setdefault(about, row)
            if kept is row:
                continue
            ours, theirs = rank(row), rank(kept)
            if ours > theirs:
                newest[about] = row
            elif ours == theirs and value(row) != value(kept):
                ties.setdefault((about, ours, value(row)), row)
    kept_ties = [row for row in ties.values() if rank(row) == rank(newest[key(row)])]
    return list(newest.values()) + kept_ties
