"""What the compacted topic of notes holds of each thing that consumers know: names, and no values.

A key is made of ids, which name nobody, so that whoever deletes a row knows the key of its note whatever became of the
names; a note without a value removes the one before. Kafka keeps the newest note of a key, so that the topic holds what
is there and, for a day or two, the keys of what is gone. Erasures that were told have notes as well, which stay: keyed
hashes and times.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Final, Literal, NamedTuple, cast

import msgspec

from app.core.errors import InvalidError
from app.core.models import EntityKey
from app.core.records import PublishedNote
from cdc.envelope import Change, EdgeChange, EdgeRow, EntityChange, EntityRow, TemporalRow, erased_entity
from cdc.events.fields import short_date

Kind = Literal["entity", "relationship", "point", "erasure"]
Notes = dict[bytes, bytes | None]

_KINDS: Final = frozenset({"entity", "relationship", "point", "erasure"})


class Noted(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A note's value. `at`: of the last event about the thing that a note was made of, in milliseconds since 1970."""

    at: int
    type: str = ""
    reference: str = ""
    target_type: str = ""
    target_reference: str = ""
    key: str = ""  # of a point, or the type of a relationship
    granularity: str = ""
    date: str = ""

    @property
    def entity(self) -> EntityKey:
        """Whom it is about; of a relationship its source."""
        return EntityKey(self.type, self.reference)

    @property
    def target(self) -> EntityKey:
        return EntityKey(self.target_type, self.target_reference)


class Series(NamedTuple):
    """Of which series a point is, and its date as events spell it."""

    key: str
    granularity: str
    date: str


_encode: Final = msgspec.json.Encoder().encode
_noted: Final = msgspec.json.Decoder(Noted)


def entity_note(entity_id: int, key: EntityKey, at_ms: int) -> PublishedNote:
    """Of an entity that consumers know."""
    return PublishedNote(_entity_key(entity_id), _encode(Noted(at_ms, key.type, key.reference)))


def relationship_note(
    ids: tuple[int, int], ends: tuple[EntityKey, EntityKey], kind: str, at_ms: int
) -> PublishedNote:
    """Of a relationship; the source is first in `ids` and `ends`."""
    left, right = ends
    noted = Noted(at_ms, left.type, left.reference, right.type, right.reference, key=kind)
    return PublishedNote(_relationship_key(*ids, kind), _encode(noted))


def point_note(idempotency_key: str, entity: EntityKey, series: Series, at_ms: int) -> PublishedNote:
    """Of a point."""
    noted = Noted(
        at_ms,
        entity.type,
        entity.reference,
        key=series.key,
        granularity=series.granularity,
        date=series.date,
    )
    return PublishedNote(_point_key(idempotency_key), _encode(noted))


def erasure_note(ledger_id: str, at_ms: int) -> PublishedNote:
    """Of an erasure that was told."""
    return PublishedNote(f"erasure/{ledger_id}".encode(), _encode(Noted(at_ms)))


def read_note(key: bytes | None, value: bytes | None) -> tuple[Kind, str, Noted | None] | None:
    """Its kind, the rest of its key and what it says; None for a record that is no note.

    Raises InvalidError where it can't be read.
    """
    kind, _, rest = (key or b"").decode(errors="replace").partition("/")
    if kind not in _KINDS:
        return None
    try:
        return cast("Kind", kind), rest, None if value is None else _noted.decode(value)
    except msgspec.MsgspecError as error:
        raise InvalidError(f"The record is no note of what was published: {error}.", code="no-note") from None


def notes_of(change: Change, keys: Mapping[int, EntityKey], erased: AbstractSet[int] = frozenset()) -> Notes:
    """What the events of a change make of the notes.

    `keys` are the names that the events bear. What is named by an id has no note, nor has anybody in `erased`.
    """
    before: EntityRow | EdgeRow | TemporalRow | None = change.before
    after: EntityRow | EdgeRow | TemporalRow | None = change.after
    if isinstance(change, EdgeChange):  # a removed edge is none
        before = change.before if change.before and change.before.removed_at is None else None
        after = change.after if change.after and change.after.removed_at is None else None
    notes: Notes = {} if before is None else {_key_of(before): None}
    if after is not None:
        if before is not None and _says_the_same(before, after):
            return {}
        notes[_key_of(after)] = _value_of(after, keys, erased, change.source.ts_ms)
    if isinstance(change, EntityChange) and erased_entity(change) is not None:
        row = change.before
        if row is not None and row.erased_as is not None:
            told = erasure_note(row.erased_as.hex(), change.source.ts_ms)
            notes[told.key] = told.value
    return notes


def _says_the_same(
    before: EntityRow | EdgeRow | TemporalRow, after: EntityRow | EdgeRow | TemporalRow
) -> bool:
    if isinstance(before, EntityRow) and isinstance(after, EntityRow):
        return (before.type, before.reference) == (after.type, after.reference)
    return _key_of(before) == _key_of(after)


def _value_of(
    row: EntityRow | EdgeRow | TemporalRow,
    keys: Mapping[int, EntityKey],
    erased: AbstractSet[int],
    at_ms: int,
) -> bytes | None:
    """What the note of a row says; None where an end of it is gone or erased."""
    if isinstance(row, EntityRow):
        return None if row.id in erased else _encode(Noted(at_ms, row.type, row.reference))
    entity_id = row.left_entity_id if isinstance(row, EdgeRow) else row.entity_id
    entity = keys.get(entity_id)
    if entity is None or entity_id in erased:
        return None
    if isinstance(row, TemporalRow):
        date = short_date(row.reference_date)
        return _encode(Noted(at_ms, *entity, "", "", row.key, row.granularity, date))
    target = keys.get(row.right_entity_id)
    if target is None or row.right_entity_id in erased:
        return None
    return _encode(Noted(at_ms, *entity, *target, row.relationship_type))


def _key_of(row: EntityRow | EdgeRow | TemporalRow) -> bytes:
    if isinstance(row, EntityRow):
        return _entity_key(row.id)
    if isinstance(row, EdgeRow):
        return _relationship_key(row.left_entity_id, row.right_entity_id, row.relationship_type)
    return _point_key(row.idempotency_key)


def _entity_key(entity_id: int) -> bytes:
    return b"entity/%d" % entity_id


def _relationship_key(left_id: int, right_id: int, kind: str) -> bytes:
    return f"relationship/{left_id}/{right_id}/{kind}".encode()


def _point_key(idempotency_key: str) -> bytes:
    return f"point/{idempotency_key}".encode()
