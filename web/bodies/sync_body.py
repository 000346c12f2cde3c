"""The body of POST /v1/graph/sync as it is sent. Values stay the JSON text that they are."""

from collections.abc import Sequence
from typing import Annotated, Final, NamedTuple

import msgspec

from app.core.errors import InvalidError
from web.bodies import field_types
from web.bodies.removals import RemovedPropertyIn, RemovedRelationshipIn
from web.http import bodies


class EntityIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """An entity and the properties that are told of it.

    A property is any JSON value, or `{"value", "reference_date"}` with a date of its own. `reference_date` is the
    date of all others; without it, it is the time of the request.
    """

    reference: field_types.Reference
    type: field_types.Type
    properties: Annotated[dict[str, msgspec.Raw], field_types.PROPERTIES] = msgspec.field(
        default_factory=dict
    )
    reference_date: field_types.Date | None = None


class RelationshipIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A relationship, source → target. Without its type, a reference is looked up; several matches are a 422."""

    source_reference: field_types.Reference
    target_reference: field_types.Reference
    relationship_type: field_types.RelationshipType
    source_type: field_types.Type | None = None
    target_type: field_types.Type | None = None
    metadata: Annotated[msgspec.Raw, field_types.METADATA] | msgspec.UnsetType = msgspec.UNSET

    @property
    def description(self) -> bytes | None:
        """The metadata; None where there is none, or `null`."""
        raw = None if self.metadata is msgspec.UNSET else bytes(self.metadata)
        return None if raw == b"null" else raw


class SyncIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Entities, relationships, and what is removed: at least one of them.

    Of what is said twice about one thing the newest date wins; with one date it has to be the same.
    """

    entities: list[EntityIn] | msgspec.UnsetType = msgspec.UNSET
    relationships: list[RelationshipIn] | msgspec.UnsetType = msgspec.UNSET
    removed_relationships: list[RemovedRelationshipIn] | msgspec.UnsetType = msgspec.UNSET
    removed_properties: list[RemovedPropertyIn] | msgspec.UnsetType = msgspec.UNSET


class UncheckedSyncIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The same, with items that are decoded one by one."""

    entities: list[msgspec.Raw] | msgspec.UnsetType = msgspec.UNSET
    relationships: list[msgspec.Raw] | msgspec.UnsetType = msgspec.UNSET
    removed_relationships: list[msgspec.Raw] | msgspec.UnsetType = msgspec.UNSET
    removed_properties: list[msgspec.Raw] | msgspec.UnsetType = msgspec.UNSET


_DECODER: Final = msgspec.json.Decoder(SyncIn)
_UNCHECKED: Final = msgspec.json.Decoder(UncheckedSyncIn)
_ENTITY: Final = msgspec.json.Decoder(EntityIn)
_RELATIONSHIP: Final = msgspec.json.Decoder(RelationshipIn)
_REMOVED_RELATIONSHIP: Final = msgspec.json.Decoder(RemovedRelationshipIn)
_REMOVED_PROPERTY: Final = msgspec.json.Decoder(RemovedPropertyIn)


class SyncItems(NamedTuple):
    """The lists of a body, empty where they are left out."""

    entities: Sequence[EntityIn | InvalidError]
    relationships: Sequence[RelationshipIn | InvalidError]
    removed_relationships: Sequence[RemovedRelationshipIn | InvalidError]
    removed_properties: Sequence[RemovedPropertyIn | InvalidError]


def read_items(body: bytes, *, one_by_one: bool) -> SyncItems:
    """Decode a body. Raises ProblemError (not JSON) or InvalidError (names the field).

    With `one_by_one` an item that fails is replaced by its error.
    """
    sent: SyncIn | UncheckedSyncIn
    sent = bodies.decode(body, _UNCHECKED) if one_by_one else bodies.decode(body, _DECODER)
    if all(getattr(sent, name) is msgspec.UNSET for name in SyncItems._fields):
        raise InvalidError(
            "The body has neither entities nor relationships, and nothing to remove.",
            code="missing-field",
            field="entities",
        )
    if isinstance(sent, SyncIn):
        return SyncItems(
            sent.entities or [],
            sent.relationships or [],
            sent.removed_relationships or [],
            sent.removed_properties or [],
        )
    entities = bodies.decode_each(sent.entities or [], _ENTITY, "entities")
    relationships = bodies.decode_each(sent.relationships or [], _RELATIONSHIP, "relationships")
    removed_relationships = bodies.decode_each(
        sent.removed_relationships or [], _REMOVED_RELATIONSHIP, "removed_relationships"
    )
    removed_properties = bodies.decode_each(
        sent.removed_properties or [], _REMOVED_PROPERTY, "removed_properties"
    )
    return SyncItems(entities, relationships, removed_relationships, removed_properties)
