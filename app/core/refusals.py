"""What the store refuses of a batch, by name."""

from collections.abc import Mapping

from app.core.errors import InvalidError
from app.core.models import Batch, EdgeRow, PropertyRow, TemporalRow

# What makes a row refused: of a property its key, value and date; of the others all that is stored. The record, and its
# time, are no part, so that a repetition in another record is refused with it.
_DECIDING = 5


class RefusedRowsError(InvalidError):
    """A batch of which these rows, and nothing else that is known, can't be stored. Nothing was written.

    Its message and code are those of the first one. `shares_room`: they don't fit beside what the batch tells before
    them of the same entity; without that they may. Otherwise they are refused whatever comes with them.
    """

    def __init__(self, rows: Mapping[tuple[object, ...], InvalidError], *, shares_room: bool) -> None:
        first = next(iter(rows.values()))
        super().__init__(str(first), code=first.code, field=first.field, entity=first.entity)
        self._rows = rows
        self.shares_room = shares_room

    def cause_in(self, batch: Batch) -> InvalidError | None:
        """Why this part of the batch can't be stored, or None where nothing is known against it."""
        for row in (*batch.properties, *batch.edges, *batch.temporal, *batch.entities):
            cause = self._rows.get(deciding(row))
            if cause is not None:
                return cause
        return None


def deciding(row: tuple[object, ...]) -> tuple[object, ...]:
    """By what a row is known in a refusal."""
    if isinstance(row, PropertyRow):
        return "property", *row[:_DECIDING]
    if isinstance(row, EdgeRow):
        return "edge", *row[:6]
    if isinstance(row, TemporalRow):
        return "temporal", *row[:9]
    return "entity", *row[:2]
