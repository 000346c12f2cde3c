"""Debezium's envelopes, decoded: one row of one table, before and after a change.

The envelopes are those of `decimal.handling.mode=string`, `time.precision.mode=isostring` and the JSON
converter without schemas: jsonb arrives as a JSON string that holds PostgreSQL's canonical JSON text, and it
is kept as that text, since a float would lose digits. Columns that are not named here are ignored.
"""

from collections.abc import Mapping
from typing import Final, Literal, TypeVar

import msgspec

from app.core.errors import InvalidError
from app.core.models import EntityKey
from app.core.oversized import refuse_oversized

Operation = Literal["c", "u", "d", "r"]
SkipReason = Literal["tombstone", "truncate", "message", "foreign-table"]

# What Debezium puts for an out-of-line value that an update did not touch, where the replica identity is not
# FULL. It can't be jsonb text, in which a string has quotes.
UNAVAILABLE: Final = "__debezium_unavailable_value"


class EntityRow(msgspec.Struct, frozen=True, gc=False):
    """A row of `entities`; `properties` is jsonb text."""

    id: int
    type: str
    reference: str
    properties: str
    erased_as: bytes | None = None  # the subject in the ledger of erasures
    # The business key, where the entity is hidden while its rows are deleted in pieces.
    erased_type: str | None = None
    erased_reference: str | None = None

    @property
    def key(self) -> EntityKey:
        """The business key, though it be hidden."""
        if self.erased_type is None or self.erased_reference is None:
            return EntityKey(self.type, self.reference)
        return EntityKey(self.erased_type, self.erased_reference)


class EdgeRow(msgspec.Struct, frozen=True, gc=False):
    """A row of `edges`; `metadata` is jsonb text, dates are ISO 8601 in UTC."""

    id: int
    left_entity_id: int
    right_entity_id: int
    relationship_type: str
    metadata: str | None = None
    removed_at: str | None = None
    erased_entity_id: int | None = None


class TemporalRow(msgspec.Struct, frozen=True, gc=False):
    """A row of `temporal_properties`; `value` is jsonb text, dates are ISO 8601 in UTC."""

    entity_id: int
    key: str
    granularity: str
    period_start: str
    reference_date: str
    value: str
    idempotency_key: str
    erased: bool = False


Row = EntityRow | EdgeRow | TemporalRow
R = TypeVar("R", EntityRow, EdgeRow, TemporalRow)


class Source(msgspec.Struct, frozen=True, gc=False, rename={"tx_id": "txId"}):
    """Where and when a change was committed: the same at each delivery of it."""

    table: str
    lsn: int
    tx_id: int
    ts_ms: int  # of the commit, milliseconds since 1970
    ts_us: int  # the same in microseconds


_OP: Final = {"operation": "op"}


class EntityChange(msgspec.Struct, frozen=True, gc=False, rename=_OP):
    """A change of an entity: at least one of `before` and `after` is there, both for `u`."""

    operation: Operation
    source: Source
    before: EntityRow | None = None
    after: EntityRow | None = None


class EdgeChange(msgspec.Struct, frozen=True, gc=False, rename=_OP):
    """A change of an edge: at least one of `before` and `after` is there, both for `u`."""

    operation: Operation
    source: Source
    before: EdgeRow | None = None
    after: EdgeRow | None = None


class TemporalChange(msgspec.Struct, frozen=True, gc=False, rename=_OP):
    """A change of a temporal row: at least one of `before` and `after` is there, both for `u`."""

    operation: Operation
    source: Source
    before: TemporalRow | None = None
    after: TemporalRow | None = None


Change = EntityChange | EdgeChange | TemporalChange


def erased_entity(change: Change) -> int | None:
    """The entity whose erasure deleted this row, where one did: an erasure marks its rows before it deletes them."""
    row = change.before
    if change.operation != "d" or row is None:
        return None
    if isinstance(row, EdgeRow):
        return row.erased_entity_id
    if isinstance(row, TemporalRow):
        return row.entity_id if row.erased else None
    return row.id if row.erased_as is not None else None


def hides(change: Change) -> bool:
    """Whether an erasure marked the entity, and hid it if its rows go in pieces. No event speaks of that."""
    return (
        isinstance(change, EntityChange) and change.after is not None and change.after.erased_as is not None
    )


class Skipped(msgspec.Struct, frozen=True, gc=False):
    """A record that speaks of no row."""

    reason: SkipReason


class _Envelope(msgspec.Struct):
    op: str
    source: msgspec.Raw
    before: msgspec.Raw = msgspec.Raw(b"null")
    after: msgspec.Raw = msgspec.Raw(b"null")


class _Key(msgspec.Struct):
    entity_id: int


_envelope: Final = msgspec.json.Decoder(_Envelope)
_source: Final = msgspec.json.Decoder(Source)
_entity: Final = msgspec.json.Decoder(EntityRow | None)
_edge: Final = msgspec.json.Decoder(EdgeRow | None)
_temporal: Final = msgspec.json.Decoder(TemporalRow | None)
_key: Final = msgspec.json.Decoder(_Key)

# A whole envelope at once, by the beginning of its table's name, which stands in it unescaped in one place alone: in
# `source`. What differs from what is expected in any way is read once more, step by step, and judged there.
_TABLE: Final = b'"table":"'
_BEGINNING: Final = 4
_at_once: Final[dict[bytes, msgspec.json.Decoder[Change]]] = {
    b"enti": msgspec.json.Decoder(EntityChange),
    b"edge": msgspec.json.Decoder(EdgeChange),
    b"temp": msgspec.json.Decoder(TemporalChange),
}
# The name of its table, and the column that may lie out of line.
_TABLES: Final[Mapping[type[Change], tuple[str, str]]] = {
    EntityChange: ("entities", "properties"),
    EdgeChange: ("edges", "metadata"),
    TemporalChange: ("temporal_properties", "value"),
}

_OPERATIONS: Final[dict[str, Operation]] = {"c": "c", "u": "u", "d": "d", "r": "r"}
_WITHOUT_ROW: Final[dict[str, SkipReason]] = {"t": "truncate", "m": "message"}


def decode(value: bytes | None) -> Change | Skipped:
    """Read the value of a record of the CDC topic. Raises InvalidError where it is no envelope of ours."""
    if value is None:
        return Skipped("tombstone")
    refuse_oversized(value)
    change = _decode_at_once(value)
    if change is not None:
        return change
    try:
        return _decode(value)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        # msgspec names the field and the type that it expected, never the value.
        text = f"The record is no Debezium envelope of this schema: {error}."
        raise InvalidError(text, code="malformed-envelope") from None


def _decode_at_once(value: bytes) -> Change | None:
    """The change, where it is one as they usually come; None leaves the verdict to `_decode`."""
    start = value.rfind(_TABLE) + len(_TABLE)
    decoder = _at_once.get(value[start : start + _BEGINNING])
    if decoder is None:
        return None
    try:
        change = decoder.decode(value)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    table, large = _TABLES[type(change)]
    before, after, operation = change.before, change.after, change.operation
    if (
        change.source.table != table
        or (before is None) is (operation in {"u", "d"})
        or (after is None) is not (operation == "d")
        or (after is not None and getattr(after, large) == UNAVAILABLE)
    ):
        return None
    return change


def entity_of_key(key: bytes | None) -> int | None:
    """The id of the entity that a record of the CDC topic is about, by its key alone, if it can be read."""
    try:
        return _key.decode(key).entity_id if key is not None else None
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def _decode(value: bytes) -> Change | Skipped:
    envelope = _envelope.decode(value)
    without_row = _WITHOUT_ROW.get(envelope.op)
    if without_row is not None:
        return Skipped(without_row)
    operation = _OPERATIONS.get(envelope.op)
    if operation is None:
        raise InvalidError("The operation is not one of c, u, d, r, t, m.", code="unknown-operation")
    source = _source.decode(envelope.source)
    match source.table:
        case "entities":
            old, new = _rows(operation, _entity.decode(envelope.before), _entity.decode(envelope.after))
            return EntityChange(operation, source, old, _available(old, new, "properties"))
        case "edges":
            before, after = _rows(operation, _edge.decode(envelope.before), _edge.decode(envelope.after))
            return EdgeChange(operation, source, before, _available(before, after, "metadata"))
        case "temporal_properties":
            was, now = _rows(operation, _temporal.decode(envelope.before), _temporal.decode(envelope.after))
            return TemporalChange(operation, source, was, _available(was, now, "value"))
        case _:
            return Skipped("foreign-table")


def _rows(operation: Operation, before: R | None, after: R | None) -> tuple[R | None, R | None]:
    """The images that the operation promises; others are left out."""
    if operation != "d" and after is None:
        raise InvalidError(f"The change {operation!r} has no row after it.", code="missing-after")
    if operation in {"u", "d"} and before is None:
        raise InvalidError(
            f"The change {operation!r} has no row before it: set REPLICA IDENTITY FULL on the table and on "
            "each of its partitions.",
            code="missing-before",
        )
    return (before if operation in {"u", "d"} else None), (after if operation != "d" else None)


def _available(before: R | None, after: R | None, column: str) -> R | None:
    """The row after, with an out-of-line value that the update did not touch taken from before."""
    if after is None or getattr(after, column) != UNAVAILABLE:
        return after
    known = UNAVAILABLE if before is None else getattr(before, column)
    if known == UNAVAILABLE:
        raise InvalidError(
            f"The value of {column} is not in the change: set REPLICA IDENTITY FULL on the table and on each "
            "of its partitions.",
            code="unavailable-value",
        )
    return msgspec.structs.replace(after, **{column: known})
