"""What POST /v1/graph/sync removes: relationships, and properties with a date."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

import msgspec

from app.core import dates
from app.core.errors import InvalidError
from app.core.models import EntityKey, RemovedEdge
from app.core.validation import MAX_FIELD_BYTES, MAX_REFERENCE_BYTES, check_name
from web.bodies import field_types
from web.bodies.references import check_relationship, check_type, resolve


class RemovedRelationshipIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The relationship ends at the time at which the request is written."""

    source_reference: field_types.Reference
    target_reference: field_types.Reference
    relationship_type: field_types.RelationshipType
    source_type: field_types.Type | None = None
    target_type: field_types.Type | None = None


class RemovedPropertyIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What was told of the property not later than `reference_date` (the time of the request, if none) is hidden."""

    reference: field_types.Reference
    type: field_types.Type
    field: field_types.Field
    reference_date: field_types.Date | None = None


def check_removed_relationship(removed: RemovedRelationshipIn, path: str) -> RemovedRelationshipIn:
    """Judge it alone. Raises InvalidError."""
    check_relationship(
        path,
        source_reference=removed.source_reference,
        target_reference=removed.target_reference,
        relationship_type=removed.relationship_type,
        source_type=removed.source_type,
        target_type=removed.target_type,
    )
    return removed


def removed_property(removed: RemovedPropertyIn, path: str) -> tuple[EntityKey, str, str | None]:
    """The entity, the field and the date of its removal, if it has one. Raises InvalidError."""
    check_name(removed.reference, f"{path}.reference", MAX_REFERENCE_BYTES)
    key = EntityKey(check_type(removed.type, f"{path}.type"), removed.reference)
    check_name(removed.field, f"{path}.field", MAX_FIELD_BYTES)
    if removed.reference_date is None:
        return key, removed.field, None
    told = dates.parse(removed.reference_date, field=f"{path}.reference_date")
    return key, removed.field, dates.to_text(told)


def removed_edge(
    removed: RemovedRelationshipIn,
    path: str,
    known: Mapping[str, set[str]],
    told: AbstractSet[tuple[str, ...]],
) -> RemovedEdge:
    """Its row; `told` are the relationships that the same request tells.

    Raises AmbiguousReferenceError, or InvalidError where it is one of them.
    """
    row = RemovedEdge(
        removed.source_type or resolve(removed.source_reference, f"{path}.source_reference", known),
        removed.source_reference,
        removed.target_type or resolve(removed.target_reference, f"{path}.target_reference", known),
        removed.target_reference,
        removed.relationship_type,
    )
    if row in told:
        raise InvalidError(
            f"{path} is among the relationships of the same request: tell it or remove it.",
            code="contradiction",
            field=path,
        )
    return row
