"""The fields of rows that events speak of, and which of them changed. Pure.

A field is compared as the canonical text of jsonb, so that 1 and 1.0 differ and no digit is lost. The date of a value
is part of it: a property whose reference_date alone changed did change, and so did a temporal row. A removed property
is none: its end is told, and that it is removed again is not. Not fields are created_at, updated_at, a temporal row's
version and an edge's metadata_date (they only decide who wins), and an edge's removed_at (it makes the edge's end).

Dates are stored with six digits of a second, so that they compare as text, and told without the zeros that end them.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

import msgspec

from app.core.errors import InvalidError
from cdc.envelope import EdgeRow, EntityRow, Row, TemporalRow

Stored = msgspec.Raw | None
Json = msgspec.Raw | str | None


class Changed(msgspec.Struct, frozen=True, gc=False):
    """What a field was and is; None where there is none, or null."""

    old: Json
    new: Json


Fields = dict[str, Changed]

_EDGE_FIELDS: Final = ("metadata", "relationship_type")
_POINT_FIELDS: Final = ("granularity", "idempotency_key", "key", "reference_date", "value")

_REMOVED: Final = b'{"removed": true, "reference_date": '
_DATE_FIELD: Final = b', "reference_date": "'  # of what this service wrote it is the last member
_DATE_BYTES: Final = len("2025-10-05T14:59:59.000000Z")
_FEW: Final = 16  # members of a value, so that what is remembered of them stays small
_object: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


def changed_fields(before: Row | None, after: Row | None) -> Fields:
    """What differs between two images of one row, in the order of the fields' names; what is absent or null is None.

    Raises InvalidError where jsonb text can't be read.
    """
    row = before if after is None else after
    if isinstance(row, EntityRow):
        return _changed_properties(before, after)  # type: ignore[arg-type]  # two images of one row
    names = _EDGE_FIELDS if isinstance(row, EdgeRow) else _POINT_FIELDS
    if before is None:
        new = zip(names, _columns(after), strict=True)
        return {name: Changed(None, value) for name, value in new if value is not None}
    if after is None:
        old = zip(names, _columns(before), strict=True)
        return {name: Changed(value, None) for name, value in old if value is not None}
    images = zip(names, _columns(before), _columns(after), strict=True)
    return {name: Changed(was, now) for name, was, now in images if was != now}


def changed_members(before: EntityRow | None, after: EntityRow | None) -> list[tuple[str, Stored, Stored]]:
    """The properties whose stored text differs: name, old and new; None where there is none or it is removed.

    Images have all properties of an entity, of which one or two changed: the others cost a comparison of bytes each.
    Raises InvalidError where jsonb text can't be read.
    """
    old = {} if before is None else object_of(before.properties, "properties")
    new = {} if after is None else object_of(after.properties, "properties")
    changed = [
        (name, _standing(old.get(name)), _standing(raw)) for name, raw in new.items() if raw != old.get(name)
    ]
    changed += [(name, _standing(raw), None) for name, raw in old.items() if name not in new]
    return changed


def _changed_properties(before: EntityRow | None, after: EntityRow | None) -> Fields:
    fields: Fields = {}
    for name, was, now in sorted(changed_members(before, after)):
        old, new = _told(was), _told(now)
        if old != new:
            fields[name] = Changed(old, new)
    return fields


def _columns(row: Row | None) -> tuple[Json, ...]:
    """The values of the fields, in the order of their names."""
    if isinstance(row, TemporalRow):
        # The value as a JSON string that holds the text, as consumers know it.
        return row.granularity, row.idempotency_key, row.key, short_date(row.reference_date), row.value
    if isinstance(row, EdgeRow):
        return None if row.metadata is None else msgspec.Raw(row.metadata.encode()), row.relationship_type
    raise TypeError(type(row).__name__)  # an entity's fields are its properties


def _standing(stored: Stored) -> Stored:
    """None where a property is stored as removed: `{"removed": true, "reference_date": …}`, as jsonb spells it."""
    return None if stored is None or bytes(stored).startswith(_REMOVED) else stored


def object_of(text: str, field: str) -> dict[str, msgspec.Raw]:
    """The members of a JSON object, each as its own text. Raises InvalidError."""
    try:
        return _object.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise InvalidError(f"{field} is no JSON object.", code="malformed-jsonb", field=field) from None


def names_of_created(row: TemporalRow, names: Iterable[str]) -> Iterable[str]:
    """Of a new temporal row: the members of an object stand for `value`, as consumers know it. Sorted, each name once:
    a member may be called as a field is.
    """
    if not row.value.startswith("{"):
        return names
    members = object_of(row.value, "value")
    if not members:
        return names
    merge = _with_few_members if len(members) <= _FEW else _with_members
    return merge(tuple(names), tuple(members))


def _with_members(names: tuple[str, ...], members: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted({name for name in names if name != "value"}.union(members)))


# Points of a series have the same members.
_with_few_members: Final = lru_cache(maxsize=1024)(_with_members)


def _told(stored: Stored) -> Stored:
    """A property with its date as `short_date` spells it; not one other byte changes."""
    if stored is None:
        return None
    text = bytes(stored)
    start = len(text) - _DATE_BYTES - len(b'"}')
    if not text.endswith(b'0Z"}') or not text.endswith(_DATE_FIELD, 0, max(start, 0)):
        return stored
    return msgspec.Raw(b'%b%b"}' % (text[:start], short_date(text[start:-2].decode()).encode()))


def short_date(date: str) -> str:
    """A date without the zeros that end its fraction: 2025-10-05T14:59:59Z."""
    return f"{date[:-1].rstrip('0').rstrip('.')}Z" if date.endswith("Z") and "." in date else date
