"""The fields of rows that events speak of, and which of them changed. Pure.

A field is compared as the canonical text of jsonb, so that 1 and 1.0 differ and no digit is lost. The date of a value
is part of it: a property whose reference_date alone changed did change, and so did a temporal row. A removed property
is none: its end is told, and that it is removed again is not. Not fields are created_at, updated_at, a temporal row's
version and an edge's metadata_date (they only decide who wins), and an edge's removed_at (it makes the edge's end).

Dates are stored with six digits of a second, so that they compare as text, and told without the zeros that end them.
"""

from typing import Final

import msgspec

from app.core.errors import InvalidError
from cdc.envelope import EdgeRow, EntityRow, TemporalRow

Json = msgspec.Raw | str | None
Fields = dict[str, dict[str, Json]]

_REMOVED: Final = b'{"removed": true, "reference_date": '
_DATE_FIELD: Final = b', "reference_date": "'  # of what this service wrote it is the last member
_DATE_BYTES: Final = len("2025-10-05T14:59:59.000000Z")
_object: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


def fields_of(row: EntityRow | EdgeRow | TemporalRow | None) -> dict[str, Json]:
    """The fields that events speak of, absent where they are null."""
    match row:
        case None:
            return {}
        case EntityRow():
            members = object_of(row.properties, "properties")
            return {name: _told(raw) for name, raw in members.items() if not is_removed(raw)}
        case EdgeRow():
            fields: dict[str, Json] = {"relationship_type": row.relationship_type}
            if row.metadata is not None:
                fields["metadata"] = msgspec.Raw(row.metadata.encode())
            return fields
        case TemporalRow():
            return {
                "granularity": row.granularity,
                "idempotency_key": row.idempotency_key,
                "key": row.key,
                "reference_date": _short(row.reference_date),
                "value": row.value,  # as a JSON string that holds the text, as consumers know it
            }


def changed(old: dict[str, Json], new: dict[str, Json]) -> Fields:
    """What differs, in the order of the fields' names."""
    names = sorted(old.keys() | new.keys())
    return {
        name: {"old": old.get(name), "new": new.get(name)}
        for name in names
        if not _same(old.get(name), new.get(name))
    }


def _same(old: Json, new: Json) -> bool:
    if isinstance(old, msgspec.Raw) and isinstance(new, msgspec.Raw):
        return bytes(old) == bytes(new)
    return old is new or (isinstance(old, str) and old == new)


def is_removed(stored: msgspec.Raw) -> bool:
    """Whether a property is stored as removed: `{"removed": true, "reference_date": …}`, as jsonb spells it."""
    return bytes(stored).startswith(_REMOVED)


def object_of(text: str, field: str) -> dict[str, msgspec.Raw]:
    """The members of a JSON object, each as its own text. Raises InvalidError."""
    try:
        return _object.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise InvalidError(f"{field} is no JSON object.", code="malformed-jsonb", field=field) from None


def names_of_created(row: TemporalRow, names: list[str]) -> list[str]:
    """Of a new temporal row: the members of an object stand for `value`, as consumers know it. Each name once: a
    member may be called as a field is.
    """
    if not row.value.startswith("{"):
        return names
    members = object_of(row.value, "value")
    return list({name for name in names if name != "value"} | members.keys()) if members else names


def _told(stored: msgspec.Raw) -> Json:
    """A property with its date as `_short` spells it; not one other byte changes."""
    text = bytes(stored)
    start = len(text) - _DATE_BYTES - len(b'"}')
    if not text.endswith(b'0Z"}') or not text.endswith(_DATE_FIELD, 0, max(start, 0)):
        return stored
    return msgspec.Raw(b'%b%b"}' % (text[:start], _short(text[start:-2].decode()).encode()))


def _short(date: str) -> str:
    """A date without the zeros that end its fraction: 2025-10-05T14:59:59Z."""
    return f"{date[:-1].rstrip('0').rstrip('.')}Z" if date.endswith("Z") and "." in date else date
