"""Changes become domain events: pure, in the order of the changes.

A field of an event is one that changed: `{"old": …, "new": …}`, compared as the canonical text of jsonb,
so that 1 and 1.0 differ and no digit is lost. The date of a value is part of it: a property whose
reference_date alone changed did change, and so did a temporal row. A removed property is none: its end is told, and
that it is removed again is not. Not fields are created_at, updated_at, a
temporal row's version and an edge's metadata_date (they only decide who wins), and an edge's removed_at (it
makes the edge's end): where nothing else changed, there is no event.

Whoever was renamed (a placeholder that got its type, an edge or a temporal row that moved to another entity)
gives two events: the old one ended and the new one began. Each has an idempotency key of its own, with the
operations `d` and `c`.

What an erasure deletes is told without properties and without the name of who was erased: `entity-<id>`, no type.
The entity's own row gives `entity_erased` besides, with the id of the ledger's entry and a key of the operation `e`.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Final

import msgspec

from app.dates import from_epoch_ms
from app.errors import InvalidError
from app.models import EntityKey
from app.ports import OutgoingEvent
from cdc.envelope import (
    Change,
    EdgeChange,
    EdgeRow,
    EntityChange,
    EntityRow,
    Operation,
    Source,
    TemporalRow,
    erased_entity,
)
from cdc.idempotency import event_id, idempotency_key

Json = msgspec.Raw | str | None
Fields = dict[str, dict[str, Json]]
Data = dict[str, str | Fields]
Keys = Mapping[int, EntityKey]

_FIXED_HEADERS: Final = [("schema_version", b"v1"), ("source_service", b"user-profile-api")]
_REMOVED: Final = b'{"removed": true, "reference_date": '
_object: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encoder: Final = msgspec.json.Encoder()


def events_of(change: Change, keys: Keys) -> list[tuple[str, OutgoingEvent]]:
    """The events of one change, each with its type; none where nothing changed that an event speaks of.

    `keys` holds the business keys of `referenced_ids(change)`, without those of entities that are gone: such
    a one is named by `entity-<id>` and has no type. Raises InvalidError where jsonb text can't be read.
    """
    return list(_events(change, keys))


def referenced_ids(change: Change) -> tuple[int, ...]:
    """The entities whose business keys the events of a change need from elsewhere."""
    rows = [row for row in (change.before, change.after) if row is not None]
    ids: list[int] = []
    for row in rows:
        if isinstance(row, EdgeRow):
            ids += (row.left_entity_id, row.right_entity_id)
        elif isinstance(row, TemporalRow):
            ids.append(row.entity_id)
    return tuple(ids)


def _events(change: Change, keys: Keys) -> Iterator[tuple[str, OutgoingEvent]]:
    before: EntityRow | EdgeRow | TemporalRow | None = change.before
    after: EntityRow | EdgeRow | TemporalRow | None = change.after
    if isinstance(change, EdgeChange):  # a removed edge is none
        before = change.before if change.before and change.before.removed_at is None else None
        after = change.after if change.after and change.after.removed_at is None else None
    if before is None and after is None:
        return
    if before is not None and after is not None and _identity(before) != _identity(after):
        yield from _event(change, keys, before=before, after=None, operation="d")
        yield from _event(change, keys, before=None, after=after, operation="c")
    else:
        yield from _event(change, keys, before=before, after=after, operation=change.operation)


def _identity(row: EntityRow | EdgeRow | TemporalRow) -> tuple[object, ...]:
    if isinstance(row, EntityRow):
        return row.type, row.reference
    if isinstance(row, EdgeRow):
        return row.left_entity_id, row.right_entity_id
    return row.entity_id, row.key, row.granularity, row.period_start


def _event(
    change: Change,
    keys: Keys,
    *,
    before: EntityRow | EdgeRow | TemporalRow | None,
    after: EntityRow | EdgeRow | TemporalRow | None,
    operation: Operation,
) -> Iterator[tuple[str, OutgoingEvent]]:
    erased = erased_entity(change)
    fields = {} if erased is not None else _changed(_fields(before), _fields(after))
    if before is not None and after is not None and not fields:
        return
    row = after if after is not None else before
    assert row is not None  # noqa: S101 - the callers hand over one at least
    names = list(fields)
    if isinstance(row, EntityRow):
        kind = _kind("entity_created", "entity_properties_updated", "entity_deleted", before, after)
        subject_id = row.id
        keys = {row.id: EntityKey(row.type, row.reference)}
        headers = [("entity_type", row.type)]
    elif isinstance(row, EdgeRow):
        kind = _kind("relationship_created", "relationship_updated", "relationship_deleted", before, after)
        subject_id = row.left_entity_id
        headers = [("relation_type", row.relationship_type)]
    else:
        kind = _kind("temporal_data_created", "temporal_data_updated", "temporal_data_deleted", before, after)
        subject_id = row.entity_id
        headers = [("granularity", row.granularity), ("property_type", row.key)]
        if kind == "temporal_data_created":
            names = _names_of_created(row, names)
        elif kind == "temporal_data_updated":
            headers.append(
                ("point_idempotency_key", row.idempotency_key)
            )  # the body has it if it changed, alone
    subject = _named(keys, subject_id, erased)
    data: Data = {**subject}
    if isinstance(row, EdgeRow):
        target = _named(keys, row.right_entity_id, erased)
        data |= {f"target_entity_{part}": text for part, text in target.items()}
    # An erased entity is named by its id, and yet after all that was told of it before.
    place = _record_key(_named(keys, subject_id)) if subject_id == erased else None
    record = partial(_record, change.source, key=_record_key(subject), partition_key=place)
    described = [*headers, ("fields_changed", ",".join(sorted(names)))]
    yield record(
        kind, described, idempotency_key(change.source, row, operation), {**data, "properties": fields}
    )
    if isinstance(row, EntityRow) and erased is not None and row.erased_as is not None:
        data |= {"ledger_id": row.erased_as.hex(), "properties": {}}
        yield record("entity_erased", described, idempotency_key(change.source, row, "e"), data)


def _record(
    source: Source,
    kind: str,
    headers: list[tuple[str, str]],
    unique: str,
    data: Data,
    *,
    key: bytes,
    partition_key: bytes | None,
) -> tuple[str, OutgoingEvent]:
    body = {
        "event_idempotency_key": unique,
        "event_timestamp": _timestamp(source.ts_ms),
        "data": data,
    }
    described = [("event_type", kind), ("event_id", event_id(unique)), *headers]
    event = OutgoingEvent(
        key=key,
        value=_encoder.encode(body),
        headers=[*_FIXED_HEADERS, *((name, text.encode()) for name, text in described)],
        timestamp_ms=source.ts_ms,
        partition_key=partition_key,
    )
    return kind, event


def _kind(created: str, updated: str, deleted: str, before: object, after: object) -> str:
    if before is None:
        return created
    return updated if after is not None else deleted


def _fields(row: EntityRow | EdgeRow | TemporalRow | None) -> dict[str, Json]:
    """The fields that events speak of, absent where they are null."""
    match row:
        case None:
            return {}
        case EntityRow():
            members = object_of(row.properties, "properties")
            return {name: raw for name, raw in members.items() if not is_removed(raw)}
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


def _changed(old: dict[str, Json], new: dict[str, Json]) -> Fields:
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


def _names_of_created(row: TemporalRow, names: list[str]) -> list[str]:
    """Of a new temporal row: the members of an object stand for `value`, as consumers know it."""
    if not row.value.startswith("{"):
        return names
    members = object_of(row.value, "value")
    return [*(name for name in names if name != "value"), *members] if members else names


def _named(keys: Keys, entity_id: int, erased: int | None = None) -> dict[str, str]:
    key = keys.get(entity_id) if entity_id != erased else None
    if key is None:
        return {"reference": f"entity-{entity_id}"}
    return {"type": key.type, "reference": key.reference}


def _record_key(subject: dict[str, str]) -> bytes:
    """`type:reference`, so that the events of one entity share a partition; without a type the reference."""
    kind = subject.get("type")
    return (subject["reference"] if kind is None else f"{kind}:{subject['reference']}").encode()


def _timestamp(milliseconds: int) -> str:
    return f"{from_epoch_ms(milliseconds).isoformat(timespec='milliseconds')[:23]}Z"


def _short(date: str) -> str:
    """A date without the zeros that end its fraction: 2025-10-05T14:59:59Z."""
    return f"{date[:-1].rstrip('0').rstrip('.')}Z" if date.endswith("Z") and "." in date else date


def is_rename(change: EntityChange) -> bool:
    """Whether an entity bears another business key after the change."""
    return (
        change.before is not None
        and change.after is not None
        and _identity(change.before) != _identity(change.after)
    )
