"""A domain event as it lies in its topic, and whom it is about."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from app.core.records import Record

EVENT_TYPES: Final = (
    "entity_created",
    "entity_properties_updated",
    "entity_deleted",
    "entity_erased",
    "relationship_created",
    "relationship_updated",
    "relationship_deleted",
    "temporal_data_created",
    "temporal_data_updated",
    "temporal_data_deleted",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainEvent:
    """`subjects` are `type:reference` of the entities that it is about, as `subject_of` spells it without doubt, or
    `entity-<id>` of one that is gone.

    Of a relationship these are the source and the target. `type` is empty where no header tells it.
    """

    partition: int
    offset: int
    type: str
    subjects: tuple[str, ...]
    body: bytes


class _Data(msgspec.Struct, frozen=True):
    type: str | None = None
    reference: str | None = None
    target_entity_reference: str | None = None
    target_entity_type: str | None = None


class _Body(msgspec.Struct, frozen=True):
    data: _Data = _Data()


_COLONS_IN_DOUBT: Final = 2  # in the key of a record: which one ends the type, its body says
_BODY: Final = msgspec.json.Decoder(_Body)
_TYPES: Final = {name.encode(): name for name in EVENT_TYPES}


def read_event(record: "Record") -> DomainEvent | None:
    """The event of a record, whoever wrote it; None where it has no body."""
    if not record.value:
        return None
    kind = next((_TYPES.get(content, "") for name, content in record.headers if name == "event_type"), "")
    subjects = _subjects((record.key or b"").decode(errors="replace"), record.value, kind)
    return DomainEvent(
        partition=record.partition, offset=record.offset, type=kind, subjects=subjects, body=record.value
    )


def subject_of(kind: str, reference: str) -> str:
    """An entity as `subjects` name it: the first colon that has no backslash before it ends the type.

    Only a type with a colon or a backslash is spelled in another way than the key of its records, in which the types
    `a` and `a:b` look the same.
    """
    if ":" in kind or "\\" in kind:
        kind = kind.replace("\\", "\\\\").replace(":", "\\:")
    return f"{kind}:{reference}"


def gone(entity_id: int) -> str:
    """An entity that is gone, as `subjects` name it."""
    return f"entity-{entity_id}"


def _subjects(key: str, body: bytes, kind: str) -> tuple[str, ...]:
    is_relationship = kind.startswith("relationship_")
    if not is_relationship and key.count(":") < _COLONS_IN_DOUBT and "\\" not in key:
        return (key,)
    try:
        data = _BODY.decode(body).data
    except msgspec.MsgspecError:
        return (key,)
    first = key
    if data.type is not None and data.reference is not None:
        first = subject_of(data.type, data.reference)
    if not is_relationship or data.target_entity_reference is None:
        return (first,)
    if data.target_entity_type is None:
        return first, data.target_entity_reference
    return first, subject_of(data.target_entity_type, data.target_entity_reference)
