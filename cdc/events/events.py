"""Changes become domain events: pure, in the order of the changes.

A field of an event is one that changed, `{"old": …, "new": …}` (see cdc.events.fields); where none did, there is none.

Whoever was renamed (a placeholder that got its type, an edge or a temporal row that moved to another entity)
gives two events: the old one ended and the new one began. Each has an idempotency key of its own, with the
operations `d` and `c`.

What an erasure deletes is told without properties and without the name of who was erased: `entity-<id>`, no type.
So is any change of somebody who is gone and whose name is not known: it may be of before an erasure.
Each event bears its subject's id as a header, so that whoever keeps it knows who `entity-<id>` was. The entity's own
row gives `entity_erased` besides, with the id of the ledger's entry and a key of the operation `e`.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec

from app.core.dates import from_epoch_ms
from app.core.models import EntityKey
from app.core.records import OutgoingEvent
from cdc.envelope import (
    Change,
    EdgeChange,
    EdgeRow,
    EntityChange,
    EntityRow,
    Operation,
    Row,
    Source,
    TemporalRow,
    erased_entity,
    hides,
)
from cdc.events.fields import Fields, changed_fields, names_of_created
from cdc.events.idempotency import event_id, idempotency_key

Keys = Mapping[int, EntityKey]
Events = list[tuple[str, OutgoingEvent]]

_KINDS: Final[Mapping[type[Row], tuple[str, str, str]]] = {
    EntityRow: ("entity_created", "entity_properties_updated", "entity_deleted"),
    EdgeRow: ("relationship_created", "relationship_updated", "relationship_deleted"),
    TemporalRow: ("temporal_data_created", "temporal_data_updated", "temporal_data_deleted"),
}
_FIXED_HEADERS: Final = [("schema_version", b"v1"), ("source_service", b"user-profile-api")]
_TYPE_HEADERS: Final = {
    kind: ("event_type", kind.encode())
    for kind in [*(kind for kinds in _KINDS.values() for kind in kinds), "entity_erased"]
}
_NO_TARGET: Final[tuple[str | msgspec.UnsetType, str | msgspec.UnsetType]] = msgspec.UNSET, msgspec.UNSET
_encode: Final = msgspec.json.Encoder().encode


class Name(NamedTuple):
    """How an event names an entity; one that is gone, or whose type nobody told, has none."""

    type: str | msgspec.UnsetType
    reference: str


class _Data(msgspec.Struct, gc=False):
    type: str | msgspec.UnsetType
    reference: str
    target_entity_type: str | msgspec.UnsetType
    target_entity_reference: str | msgspec.UnsetType
    ledger_id: str | msgspec.UnsetType
    properties: Fields


class _Body(msgspec.Struct, gc=False):
    event_idempotency_key: str
    event_timestamp: str
    data: _Data


def events_of(change: Change, keys: Keys) -> Events:
    """The events of one change, each with its type; none where nothing changed that an event speaks of.

    `keys` holds the business keys of the entities that the change names by ids alone, without those of entities that
    are gone: such a one is named by `entity-<id>`, has no type, and nothing is told of it but that it changed. A key
    whose type is empty has none. Raises InvalidError where jsonb text can't be read.
    """
    before: Row | None = change.before
    after: Row | None = change.after
    if isinstance(change, EdgeChange):  # a removed edge is none
        before = change.before if change.before and change.before.removed_at is None else None
        after = change.after if change.after and change.after.removed_at is None else None
    if (before is None and after is None) or hides(change):
        return []
    if before is not None and after is not None and _identity(before) != _identity(after):
        return _event(change, keys, before, None, "d") + _event(change, keys, None, after, "c")
    return _event(change, keys, before, after, change.operation)


def subjects_of(change: Change) -> set[int]:
    """The entities that a change names by their ids alone, and whose own changes come in the same partition."""
    if isinstance(change, EntityChange):
        return set()
    if isinstance(change, EdgeChange):
        return {row.left_entity_id for row in (change.before, change.after) if row is not None}
    return {row.entity_id for row in (change.before, change.after) if row is not None}


def targets_of(change: Change) -> set[int]:
    """The other entities that a change names by their ids: their own changes come in another partition, or may."""
    if not isinstance(change, EdgeChange):
        return set()
    return {
        row.right_entity_id
        for row in (change.before, change.after)
        if row is not None and row.right_entity_id != row.left_entity_id
    }


def _identity(row: Row) -> tuple[object, ...]:
    if isinstance(row, EntityRow):
        return row.key
    if isinstance(row, EdgeRow):
        return row.left_entity_id, row.right_entity_id
    return row.entity_id, row.key, row.granularity, row.period_start


def _event(change: Change, keys: Keys, before: Row | None, after: Row | None, operation: Operation) -> Events:
    erased = erased_entity(change)
    fields: Fields = {} if erased is not None else changed_fields(before, after)
    if not fields and before is not None and after is not None:
        return []
    row = before if after is None else after
    names: Iterable[str] = fields
    target_type, target_reference = _NO_TARGET
    if isinstance(row, EntityRow):
        subject_id = row.id
        keys = {subject_id: row.key}
        headers = [_header("entity_type", row.key.type)]
    elif isinstance(row, EdgeRow):
        subject_id = row.left_entity_id
        headers = [_header("relation_type", row.relationship_type)]
        target_type, target_reference = _named(keys, row.right_entity_id, erased)
        if subject_id not in keys or row.right_entity_id not in keys:
            fields = names = {}
    else:
        assert row is not None  # noqa: S101 - the caller hands over one at least
        subject_id = row.entity_id
        headers = [_header("granularity", row.granularity), _header("property_type", row.key)]
        if subject_id not in keys:
            fields = names = {}
        if before is None and fields:
            names = names_of_created(row, names)
        elif before is not None and after is not None:  # the body has it if it changed, alone
            headers.append(("point_idempotency_key", row.idempotency_key.encode()))
    subject = _named(keys, subject_id, erased)
    # An erased entity is named by its id, and yet after all that was told of it before.
    partition_key = _record_key(*_named(keys, subject_id)) if subject_id == erased else None
    if subject_id > 0:  # a recovery does not know all ids
        headers.append(("entity_id", b"%d" % subject_id))
    headers.append(("fields_changed", ",".join(names).encode()))

    created, updated, deleted = _KINDS[type(row)]
    kind = created if before is None else deleted if after is None else updated
    data = _Data(*subject, target_type, target_reference, msgspec.UNSET, fields)
    unique = idempotency_key(change.source, row, operation)
    event = _record(change.source, kind, unique, data, headers=headers, partition_key=partition_key)
    if not isinstance(row, EntityRow) or erased is None or row.erased_as is None:
        return [(kind, event)]
    data = _Data(*subject, *_NO_TARGET, row.erased_as.hex(), {})
    unique = idempotency_key(change.source, row, "e")
    told = "entity_erased"
    erasure = _record(change.source, told, unique, data, headers=headers, partition_key=partition_key)
    return [(kind, event), (told, erasure)]


def _record(
    source: Source,
    kind: str,
    unique: str,
    data: _Data,
    *,
    headers: list[tuple[str, bytes]],
    partition_key: bytes | None,
) -> OutgoingEvent:
    return OutgoingEvent(
        key=_record_key(data.type, data.reference),
        value=_encode(_Body(unique, _timestamp(source.ts_ms), data)),
        headers=[*_FIXED_HEADERS, _TYPE_HEADERS[kind], ("event_id", event_id(unique).encode()), *headers],
        timestamp_ms=source.ts_ms,
        partition_key=partition_key,
    )


def _record_key(kind: str | msgspec.UnsetType, reference: str) -> bytes:
    """`type:reference`, so that the events of one entity share a partition; without a type the reference."""
    return (reference if kind is msgspec.UNSET else f"{kind}:{reference}").encode()


def _named(keys: Keys, entity_id: int, erased: int | None = None) -> Name:
    key = keys.get(entity_id) if entity_id != erased else None
    if key is None:
        return Name(msgspec.UNSET, f"entity-{entity_id}")
    return Name(key.type or msgspec.UNSET, key.reference)


@lru_cache(maxsize=1024)  # there are few types and series
def _header(name: str, text: str) -> tuple[str, bytes]:
    return name, text.encode()


@lru_cache(maxsize=1024)  # changes of one commit share it
def _timestamp(milliseconds: int) -> str:
    return f"{from_epoch_ms(milliseconds).isoformat(timespec='milliseconds')[:23]}Z"


def is_rename(change: EntityChange) -> bool:
    """Whether an entity bears another business key after the change."""
    return (
        change.before is not None
        and change.after is not None
        and _identity(change.before) != _identity(change.after)
    )
