"""The body of POST /v1/graph/sync: read, judged and turned into one batch.

Values stay the JSON text that was sent. Nothing here waits for anything: what has to be asked of the
primary (its clock, the types of references) is passed to `rows`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final, Literal

import msgspec

from app import dates
from app.errors import AmbiguousReferenceError, InvalidError
from app.models import Batch, EdgeRow, EntityKey, EntityRow, PropertyRow
from app.validation import (
    MAX_FIELD_BYTES,
    MAX_REFERENCE_BYTES,
    MAX_RELATIONSHIP_BYTES,
    MAX_TYPE_BYTES,
    check_json_text,
    check_name,
)
from web import bodies, names
from web.field_paths import join
from web.refusals import Refusals, decoded, judging

UNKNOWN: Final = "unknown"
_STORED_SHAPE: Final = frozenset({"value", "reference_date"})
_OBJECT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TEXT: Final = msgspec.json.Decoder(str)

End = Literal["source", "target"]


class EntityIn(msgspec.Struct, frozen=True):
    """An entity and the properties that are told of it.

    A property is any JSON value, or `{"value", "reference_date"}` with a date of its own. `reference_date` is the
    date of all others; without it, it is the time of the request.
    """

    reference: names.Reference
    type: names.Type
    properties: Annotated[dict[str, msgspec.Raw], names.PROPERTIES] = msgspec.field(default_factory=dict)
    reference_date: names.Date | None = None


class RelationshipIn(msgspec.Struct, frozen=True):
    """A relationship, source → target. Without its type, a reference is looked up; several matches are a 422."""

    source_reference: names.Reference
    target_reference: names.Reference
    relationship_type: names.RelationshipType
    source_type: names.Type | None = None
    target_type: names.Type | None = None
    metadata: Annotated[msgspec.Raw, names.METADATA] = msgspec.field(default_factory=msgspec.Raw)


class SyncIn(msgspec.Struct, frozen=True):
    """Entities, relationships, or both."""

    entities: list[EntityIn] | msgspec.UnsetType = msgspec.UNSET
    relationships: list[RelationshipIn] | msgspec.UnsetType = msgspec.UNSET


class UncheckedSyncIn(msgspec.Struct, frozen=True):
    """The same, with items that are decoded one by one."""

    entities: list[msgspec.Raw] | msgspec.UnsetType = msgspec.UNSET
    relationships: list[msgspec.Raw] | msgspec.UnsetType = msgspec.UNSET


_DECODER: Final = msgspec.json.Decoder(SyncIn)
_UNCHECKED: Final = msgspec.json.Decoder(UncheckedSyncIn)
_ENTITY: Final = msgspec.json.Decoder(EntityIn)
_RELATIONSHIP: Final = msgspec.json.Decoder(RelationshipIn)


@dataclass(frozen=True, slots=True, kw_only=True)
class Property:
    """`reference_date` None: the time of the request."""

    key: EntityKey
    field: str
    value: str
    reference_date: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncRequest:
    """A request that is valid as far as it can be judged alone."""

    entities: list[EntityKey]
    properties: list[Property]
    relationships: dict[int, RelationshipIn]  # by their places in the body

    @property
    def untyped(self) -> list[str]:
        """The references whose types have to be looked up, once each, sorted."""
        return sorted(
            {r.source_reference for r in self.relationships.values() if r.source_type is None}
            | {r.target_reference for r in self.relationships.values() if r.target_type is None}
        )

    def __len__(self) -> int:
        return len(self.entities) + len(self.properties) + len(self.relationships)

    def rows(
        self, *, now: datetime, types: Mapping[str, list[str]], refusals: Refusals | None = None
    ) -> Batch:
        """Every row of the request; `types` answers `untyped`.

        Raises AmbiguousReferenceError, or keeps it in `refusals` and leaves the relationship out, though the
        types that it names stay known to the others.
        """
        known = self._types_named_here()
        for reference, found in types.items():
            known.setdefault(reference, set()).update(found)
        reference_date = dates.to_text(now)
        edges = []
        for index, relationship in self.relationships.items():
            with judging("relationship", refusals):
                edges.append(_edge(relationship, f"relationships[{index}]", known, now))
        return Batch(
            entities=[EntityRow(key.type, key.reference, now) for key in self.entities],
            properties=[
                PropertyRow(
                    p.key.type, p.key.reference, p.field, p.value, p.reference_date or reference_date, now
                )
                for p in self.properties
            ],
            edges=edges,
        )

    def _types_named_here(self) -> dict[str, set[str]]:
        named: dict[str, set[str]] = {}
        for key in self.entities:
            named.setdefault(key.reference, set()).add(key.type)
        for r in self.relationships.values():
            if r.source_type is not None:
                named.setdefault(r.source_reference, set()).add(r.source_type)
            if r.target_type is not None:
                named.setdefault(r.target_reference, set()).add(r.target_type)
        return named


def _edge(r: RelationshipIn, path: str, known: Mapping[str, set[str]], now: datetime) -> EdgeRow:
    metadata = bytes(r.metadata)
    return EdgeRow(
        r.source_type or _resolve(r.source_reference, f"{path}.source_reference", known),
        r.source_reference,
        r.target_type or _resolve(r.target_reference, f"{path}.target_reference", known),
        r.target_reference,
        r.relationship_type,
        None if metadata in (b"", b"null") else metadata.decode(),
        now,
    )


def _resolve(reference: str, field: str, known: Mapping[str, set[str]]) -> str:
    # A placeholder does not compete with the typed entity that it will be merged into.
    candidates = sorted(known.get(reference, set()) - {UNKNOWN})
    if len(candidates) > 1:
        error = AmbiguousReferenceError(reference, candidates)
        error.field = field
        raise error
    return candidates[0] if candidates else UNKNOWN


def parse(
    body: bytes, *, max_items: int, max_value_bytes: int, refusals: Refusals | None = None
) -> SyncRequest:
    """Read and judge a body. Raises ProblemError (not JSON) or InvalidError (names the field).

    With `refusals`, what is wrong with one item is kept there, and the item is left out; an entity takes
    its properties with it.
    """
    entities, relationships = _items(body, refusals)
    count = len(entities) + len(relationships)
    count += sum(len(entity.properties) for entity in entities if isinstance(entity, EntityIn))
    if count > max_items:
        raise InvalidError(
            f"The request has {count} entities, properties and relationships; {max_items} are the most. "
            "Split it.",
            code="too-many-items",
            field="entities" if len(entities) > len(relationships) else "relationships",
        )
    request = SyncRequest(entities=[], properties=[], relationships={})
    for index, sent in enumerate(entities):
        path = f"entities[{index}]"
        with judging("entity", refusals):
            entity = decoded(sent)
            key = _entity(entity, path)
            own_date = _own_date(entity.reference_date, f"{path}.reference_date")
            request.entities.append(key)
            for name, raw in entity.properties.items():
                at = join(f"{path}.properties", name)
                with judging("property", refusals):
                    check_name(name, at, MAX_FIELD_BYTES)
                    request.properties.append(
                        _property(key, name, bytes(raw), own_date, at, max_bytes=max_value_bytes)
                    )
    for index, told in enumerate(relationships):
        with judging("relationship", refusals):
            relationship = decoded(told)
            _check_relationship(relationship, f"relationships[{index}]", max_value_bytes)
            request.relationships[index] = relationship
    return request


def _items(
    body: bytes, refusals: Refusals | None
) -> tuple[Sequence[EntityIn | InvalidError], Sequence[RelationshipIn | InvalidError]]:
    sent: SyncIn | UncheckedSyncIn
    sent = bodies.decode(body, _DECODER) if refusals is None else bodies.decode(body, _UNCHECKED)
    if sent.entities is msgspec.UNSET and sent.relationships is msgspec.UNSET:
        raise InvalidError(
            "The body has neither entities nor relationships.", code="missing-field", field="entities"
        )
    if isinstance(sent, SyncIn):
        return sent.entities or [], sent.relationships or []
    return (
        bodies.decode_each(sent.entities or [], _ENTITY, "entities"),
        bodies.decode_each(sent.relationships or [], _RELATIONSHIP, "relationships"),
    )


def check_type(text: str, field: str) -> str:
    """An entity's type as a request may name it. Raises InvalidError."""
    if text == UNKNOWN:
        raise InvalidError(
            f"{field} is `unknown`, which is kept for placeholders; name the type.",
            code="reserved-type",
            field=field,
        )
    return check_name(text, field, MAX_TYPE_BYTES)


def _entity(entity: EntityIn, path: str) -> EntityKey:
    check_name(entity.reference, f"{path}.reference", MAX_REFERENCE_BYTES)
    return EntityKey(check_type(entity.type, f"{path}.type"), entity.reference)


def _own_date(text: str | None, field: str) -> str | None:
    return None if text is None else dates.to_text(dates.parse(text, field=field))


def _property(
    key: EntityKey, name: str, raw: bytes, own_date: str | None, field: str, *, max_bytes: int
) -> Property:
    value, reference_date = raw, own_date
    if raw.startswith(b"{"):
        members = _OBJECT.decode(raw)
        if members.keys() == _STORED_SHAPE:
            value = bytes(members["value"])
            reference_date = _told(bytes(members["reference_date"]), f"{field}.reference_date")
            field = f"{field}.value"
    return Property(
        key=key,
        field=name,
        value=check_json_text(value, field, max_bytes),
        reference_date=reference_date,
    )


def _told(raw: bytes, field: str) -> str:
    try:
        text = _TEXT.decode(raw)
    except msgspec.ValidationError:
        text = ""  # refused below, with the same words as any other text that is not a date
    return dates.to_text(dates.parse(text, field=field))


def _check_relationship(relationship: RelationshipIn, path: str, max_value_bytes: int) -> None:
    check_name(relationship.source_reference, f"{path}.source_reference", MAX_REFERENCE_BYTES)
    check_name(relationship.target_reference, f"{path}.target_reference", MAX_REFERENCE_BYTES)
    check_name(relationship.relationship_type, f"{path}.relationship_type", MAX_RELATIONSHIP_BYTES)
    if relationship.source_type is not None:
        check_type(relationship.source_type, f"{path}.source_type")
    if relationship.target_type is not None:
        check_type(relationship.target_type, f"{path}.target_type")
    metadata = bytes(relationship.metadata)
    if metadata not in (b"", b"null"):
        if not metadata.startswith(b"{"):
            raise InvalidError(
                f"{path}.metadata is not an object.", code="ill-typed-field", field=f"{path}.metadata"
            )
        check_json_text(metadata, f"{path}.metadata", max_value_bytes)
