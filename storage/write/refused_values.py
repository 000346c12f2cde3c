"""Which rows of a refused batch hold what PostgreSQL does not take, asked in one statement.

PostgreSQL refuses a statement for one value of thousands, and does not say which one it was.
"""

from collections.abc import Iterator
from typing import Final

from app.core.errors import InvalidError
from app.core.models import Batch
from app.core.refusals import RefusedRowsError, deciding
from storage.postgres.errors import refusal
from storage.postgres.pools import Connection
from storage.postgres.queries import query

_BIGINT: Final = range(-(2**63), 2**63)


async def refused_rows(connection: Connection, batch: Batch) -> RefusedRowsError | None:
    """The rows whose names, numbers or JSON values can't be stored; None where there are none.

    Raises as the driver does.
    """
    refused: dict[tuple[object, ...], InvalidError] = {}
    texts: list[str] = []
    owners: list[tuple[object, ...]] = []
    for row, names, text in _parts(batch):
        cause = _unstorable(names, text)
        if cause is not None:
            refused[deciding(row)] = cause
        elif text is not None:
            texts.append(text)
            owners.append(deciding(row))
    for found in await connection.fetch(query("refused_values"), texts) if texts else []:
        refused[owners[found["ord"] - 1]] = refusal(found["state"])
    return RefusedRowsError(refused, shares_room=False) if refused else None


def _parts(batch: Batch) -> Iterator[tuple[tuple[object, ...], tuple[object, ...], str | None]]:
    """Each row, its plain columns, and its JSON text."""
    for entity in batch.entities:
        yield entity, entity[:2], None
    for prop in batch.properties:
        yield prop, (*prop[:3], prop.reference_date), prop.value
    for edge in batch.edges:
        yield edge, edge[:5], edge.metadata
    for point in batch.temporal:
        yield point, (*point[:4], point.version), point.value


def _unstorable(columns: tuple[object, ...], text: str | None) -> InvalidError | None:
    for column in (*columns, text):
        if isinstance(column, int) and column not in _BIGINT:
            return refusal("22003")
        if isinstance(column, str):
            if "\0" in column:
                return refusal("22021")
            if not column.isascii() and any("\ud800" <= character <= "\udfff" for character in column):
                return refusal("22021")
    return None
