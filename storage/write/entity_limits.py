"""How much one entity may hold: judged within the transaction, against what is stored too.

The sizes come with the rows that changed. Properties are counted, and written out as in a change, only where an entity
is large enough to have too many or to become too large. A removed property takes bytes, and is not counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import asyncpg

from app.core.errors import InvalidError
from app.core.models import Batch, EntityKey, PropertyRow
from app.core.refusals import RefusedRowsError, deciding
from storage.postgres.pools import Connection
from storage.postgres.queries import query
from storage.write.candidates import Growth, property_columns
from storage.write.changes import Effects

_LEAST_BYTES_OF_A_PROPERTY: Final = 50  # with its date, in jsonb
_MOST_WRITTEN_FOR_A_BYTE: Final = 100  # 1e999 is 16 bytes in jsonb and 1,002 in its text; U+0001 is 1 and 7
_EMPTY_BYTES: Final = 8  # of jsonb without properties
_EMPTY_WRITTEN: Final = 2  # two quotes and two braces, less the last comma and space


class EntitiesTooLargeError(InvalidError):
    """Some entities would hold too much. `rows` are what was to change of them; message and code are of the first."""

    def __init__(self, first: InvalidError, rows: Sequence[PropertyRow]) -> None:
        super().__init__(str(first), code=first.code, entity=first.entity)
        self.rows = rows


class _Size(NamedTuple):
    """What one property takes of its entity; `fields` is 0 where it is removed."""

    fields: int
    bytes: int
    written: int


_NOTHING: Final = _Size(0, 0, 0)


@dataclass(slots=True)
class _Room:
    """What an entity holds, and the size of each field of it that is changed."""

    held: _Size
    changed: dict[str, _Size]


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityLimits:
    """The most properties, and the most bytes of all of them: as jsonb, and as the JSON string that holds their text in
    a change (Debezium's record has it twice, before and after, and must fit into a request to Kafka).
    """

    properties: int
    property_bytes: int

    @property
    def measured_from(self) -> int:
        """Bytes of jsonb from which its text has to be measured."""
        return self.property_bytes // _MOST_WRITTEN_FOR_A_BYTE

    @property
    def counted_from(self) -> int:
        """Bytes of jsonb from which its properties have to be counted."""
        return self.properties * _LEAST_BYTES_OF_A_PROPERTY

    def require(self, effects: Effects, written: Sequence[PropertyRow]) -> None:
        """Raise EntitiesTooLargeError where entities that changed hold too much; the transaction is to be rolled back.

        `written` are the properties that it wrote. Asks nothing, since it is called while rows are locked.
        """
        found: dict[EntityKey, InvalidError] = {}
        for rows in (effects.created, effects.changed):
            for row in rows:
                if row["bytes"] is None:
                    continue
                entity = EntityKey(row["type"], row["reference"])
                cause = self._cause(entity, _Size(row["fields"] or 0, row["bytes"], row["written"] or 0))
                if cause is not None:
                    found[entity] = cause
        if found:
            of_them = [told for told in written if (told.type, told.reference) in found]
            raise EntitiesTooLargeError(next(iter(found.values())), of_them)

    async def require_room(
        self, connection: Connection, batch: Batch, could_win: Sequence[PropertyRow], growth: Growth
    ) -> None:
        """Raise RefusedRowsError before anything is written, where a comparison suggests that entities get too large.

        What it misses `require` finds; a batch of one row is left to that, since there is nothing to tell apart.
        """
        too_large = {entity for entity, size in growth.bytes.items() if size > self.property_bytes}
        if not too_large or len(batch) == 1:
            return
        of_them = [row for row in could_win if (row.type, row.reference) in too_large]
        refusal = await self.refused_rows(connection, batch, of_them)
        if refusal is not None:
            raise refusal

    async def refused_rows(
        self, connection: Connection, batch: Batch, rows: Sequence[PropertyRow]
    ) -> RefusedRowsError | None:
        """Which of these properties of the batch don't fit: each has the room that those before it leave.

        None where all of them would fit by now.
        """
        order = {deciding(row): number for number, row in reversed([*enumerate(batch.properties)])}
        told = sorted(rows, key=lambda row: order[deciding(row)])
        sizes = await connection.fetch(query("property_sizes"), *property_columns(told))
        rooms: dict[EntityKey, _Room] = {}
        refused: dict[tuple[object, ...], InvalidError] = {}
        for size in sorted(sizes, key=lambda each: each["ord"]):
            row = told[size["ord"] - 1]
            entity = EntityKey(row.type, row.reference)
            room = rooms.setdefault(
                entity,
                _Room(
                    _Size(
                        size["all_fields"],
                        _EMPTY_BYTES + size["all_bytes"],
                        _EMPTY_WRITTEN + size["all_written"],
                    ),
                    {},
                ),
            )
            cause = self._taken(entity, room, row.field, size)
            if cause is not None:
                refused[deciding(row)] = cause
        return RefusedRowsError(refused, shares_room=True) if refused else None

    def _taken(self, entity: EntityKey, room: _Room, field: str, size: asyncpg.Record) -> InvalidError | None:
        """Take the property in, or say why there is no room for it."""
        stored = _NOTHING
        if size["old_bytes"] is not None:
            stored = _Size(int(size["old_stands"]), size["old_bytes"], size["old_written"])
        before = room.changed.get(field, stored)
        new = _Size(int(size["stands"]), size["bytes"], size["written"])
        held = _Size(*(all_ + more - less for all_, more, less in zip(room.held, new, before, strict=True)))
        cause = self._cause(entity, held)
        if cause is None:
            room.held = held
            room.changed[field] = new
        return cause

    async def refused(
        self, connection: Connection, could_win: Sequence[PropertyRow]
    ) -> dict[EntityKey, InvalidError]:
        """Which entities would hold too much with these properties, and what `require` would raise. Read-only."""
        found = {}
        if could_win:
            for held in await connection.fetch(query("would_be_held"), *property_columns(could_win)):
                entity = EntityKey(held["type"], held["reference"])
                cause = self._cause(entity, _Size(held["fields"], held["bytes"], held["written"]))
                if cause is not None:
                    found[entity] = cause
        return found

    def _cause(self, entity: EntityKey, held: _Size) -> InvalidError | None:
        if held.bytes > self.property_bytes:
            return self._too_large(entity, "")
        if held.written > self.property_bytes:
            return self._too_large(entity, " as the JSON text of a change")
        if held.fields > self.properties:
            return InvalidError(
                f"{entity.type}/{entity.reference} would have more than {self.properties} properties "
                "(PROFILE_MAX_PROPERTIES_PER_ENTITY). Removed ones don't count.",
                code="too-many-properties",
                entity=entity,
            )
        return None

    def _too_large(self, entity: EntityKey, how: str) -> InvalidError:
        return InvalidError(
            f"The properties of {entity.type}/{entity.reference} would take more than {self.property_bytes} bytes{how} "
            "(PROFILE_MAX_ENTITY_BYTES).",
            code="entity-too-large",
            entity=entity,
        )
