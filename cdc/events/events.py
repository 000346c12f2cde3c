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

from collections.abc import Iterator, Mapping
from functools import lru_cache, partial
from typing import Final

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
    Source,
    TemporalRow,
    erased_entity,
)
from cdc.events.fields import Fields, changed, fields_of, names_of_created
from cdc.events.idempotency import event_id, idempotency_key

Data = dict[str, str | Fields]
Keys = Mapping[int, EntityKey]

_FIXED_HEADERS: Final = [("schema_version", b"v1"), ("source_service", b"user-profile-api")]
_encoder: Final = msgspec.json.Encoder()


def events_of(change: Change, keys: Keys) -> list[tuple[str, OutgoingEvent]]:
    """The events of one change, each with its type; none where nothing changed that an event speaks of.

    `keys` holds the business keys of `referenced_ids(change)`, without those of entities that are gone: such
    a one is named by `entity-<id>`, has no type, and nothing is told of it but that it changed. A key whose type is
    empty has none. Raises InvalidError where jsonb text can't be read.
    """
    return list(_events(change, keys))


def referenced_ids(change: Change) -> tuple[int, ...]:
    """The entities whose business keys the events of a change need from elsewhere."""
    return tuple(
        entity_id for row in (change.before, change.after) if row is not None for entity_id in _ends(row)
    )


def subjects_of(change: Change) -> tuple[int, ...]:
    """Those of `referenced_ids(change)` whose own changes come in the same partition."""
    rows = [row for row in (change.before, change.after) if row is not None]
    return tuple(
        row.left_entity_id if isinstance(row, EdgeRow) else row.entity_id
        for row in rows
        if not isinstance(row, EntityRow)
    )


def targets_of(change: Change) -> tuple[int, ...]:
    """Those of `referenced_ids(change)` whose own changes come in another partition, or may."""
    rows = [row for row in (change.before, change.after) if isinstance(row, EdgeRow)]
    return tuple(row.right_entity_id for row in rows if row.right_entity_id != row.left_entity_id)


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


def _ends(row: EntityRow | EdgeRow | TemporalRow) -> tuple[int, ...]:
    """The entities that a row names by their ids alone."""
    if isinstance(row, EdgeRow):
        return row.left_entity_id, row.right_entity_id
    return (row.entity_id,) if isinstance(row, TemporalRow) else ()


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
    fields = {} if erased is not None else changed(fields_of(before), fields_of(after))
    if before is not None and after is not None and not fields:
        return
    row = after if after is not None else before
    assert row is not None  # noqa: S101 - the callers hand over one at least
    if any(entity_id not in keys for entity_id in _ends(row)):
        fields = {}
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
        if kind == "temporal_data_created" and fields:
            names = names_of_created(row, names)
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
    if subject_id > 0:  # a recovery does not know all ids
        headers.append(("entity_id", str(subject_id)))
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


def _named(keys: Keys, entity_id: int, erased: int | None = None) -> dict[str, str]:
    key = keys.get(entity_id) if entity_id != erased else None
    if key is None:
        return {"reference": f"entity-{entity_id}"}
    return {"type": key.type, "reference": key.reference} if key.type else {"reference": key.reference}


def _record_key(subject: dict[str, str]) -> bytes:
    """`type:reference`, so that the events of one entity share a partition; without a type the reference."""
    kind = subject.get("type")
    return (subject["reference"] if kind is None else f"{kind}:{subject['reference']}").encode()


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
