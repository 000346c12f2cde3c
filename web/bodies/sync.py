"""The body of POST /v1/graph/sync: read, judged and turned into one batch.

Values stay the JSON text that was sent. Nothing here waits for anything: what has to be asked of the
primary (its clock, the types of references) is passed to `rows`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

import msgspec

from app.core import dates
from app.core.errors import InvalidError
from app.core.field_paths import join
from app.core.json_shapes import Shape
from app.core.models import Batch, EdgeRow, EntityKey, EntityRow, PropertyRow, Source
from app.core.validation import MAX_FIELD_BYTES, MAX_REFERENCE_BYTES, check_json_text, check_name
from web.bodies.contradictions import Statements
from web.bodies.item_errors import Refusals, decoded, judging
from web.bodies.references import check_relationship, check_type, resolve
from web.bodies.removals import (
    RemovedRelationshipIn,
    check_removed_relationship,
    removed_edge,
    removed_property,
)
from web.bodies.sync_body import EntityIn, RelationshipIn, SyncItems, read_items

_STORED_SHAPE: Final = frozenset({"value", "reference_date"})
_WRAPPED: Final = Shape(is_open=True)
_OBJECT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TEXT: Final = msgspec.json.Decoder(str)

End = Literal["source", "target"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Property:
    """`value` None: it is removed. `reference_date` None: the time of the request. Its date stands at `date_path`."""

    key: EntityKey
    field: str
    value: str | None
    reference_date: str | None
    date_path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncRequest:
    """A request that is valid as far as it can be judged alone."""

    entities: list[EntityKey]
    properties: list[Property]
    relationships: dict[int, RelationshipIn]  # by their places in the body
    removed_relationships: dict[int, RemovedRelationshipIn]
    paths: dict[EntityKey, str]  # where the properties of each entity stand first

    @property
    def untyped(self) -> list[str]:
        """The references whose types have to be looked up, once each, sorted."""
        return sorted(
            {r.source_reference for r in self._all_relationships() if r.source_type is None}
            | {r.target_reference for r in self._all_relationships() if r.target_type is None}
        )

    def _all_relationships(self) -> Iterator[RelationshipIn | RemovedRelationshipIn]:
        yield from self.relationships.values()
        yield from self.removed_relationships.values()

    def __len__(self) -> int:
        told = len(self.entities) + len(self.properties) + len(self.relationships)
        return told + len(self.removed_relationships)

    def rows(
        self,
        *,
        now: datetime,
        types: Mapping[str, list[str]],
        ahead: timedelta,
        source: Source | None = None,
        refusals: Refusals | None = None,
    ) -> Batch:
        """Every row of the request, told by `source`; `types` answers `untyped`.

        Raises InvalidError where the date of a property is further ahead of `now` than `ahead`, and
        AmbiguousReferenceError; or keeps it in `refusals` and leaves the relationship out, though the
        types that it names stay known to the others.
        """
        known = self._types_named_here()
        for reference, found in types.items():
            known.setdefault(reference, set()).update(found)
        edges = []
        described = Statements()
        for index, relationship in self.relationships.items():
            with judging("relationship", refusals):
                path = f"relationships[{index}]"
                edge = _edge(relationship, path, known, now)
                if edge.metadata is not None:
                    described.add(edge[:5], edge.metadata, path, _named(edge))
                edges.append(edge)
        told = {edge[:5] for edge in edges}
        removed_edges = []
        for index, removed in self.removed_relationships.items():
            with judging("relationship", refusals):
                removed_edges.append(removed_edge(removed, f"removed_relationships[{index}]", known, told))
        return Batch(
            entities=[EntityRow(key.type, key.reference, now) for key in self.entities],
            properties=self._property_rows(now, ahead, source, refusals),
            edges=edges,
            removed_edges=removed_edges,
        )

    def _property_rows(
        self, now: datetime, ahead: timedelta, source: Source | None, refusals: Refusals | None
    ) -> list[PropertyRow]:
        request_date, latest = dates.to_text(now), dates.to_text(dates.latest_for(now, ahead))
        rows = []
        for told in self.properties:
            with judging("property", refusals):
                if told.reference_date is not None and told.reference_date > latest:
                    raise dates.too_far_ahead(told.date_path, ahead)
                rows.append(
                    PropertyRow(
                        told.key.type,
                        told.key.reference,
                        told.field,
                        told.value,
                        told.reference_date or request_date,
                        now,
                        source,
                    )
                )
        return rows

    def _types_named_here(self) -> dict[str, set[str]]:
        named: dict[str, set[str]] = {}
        for key in self.entities:
            named.setdefault(key.reference, set()).add(key.type)
        for r in self._all_relationships():
            if r.source_type is not None:
                named.setdefault(r.source_reference, set()).add(r.source_type)
            if r.target_type is not None:
                named.setdefault(r.target_reference, set()).add(r.target_type)
        return named


def _named(edge: EdgeRow) -> str:
    return (
        f"the metadata of {edge.left_type}/{edge.left_reference} {edge.relationship_type} "
        f"{edge.right_type}/{edge.right_reference}"
    )


def _edge(r: RelationshipIn, path: str, known: Mapping[str, set[str]], now: datetime) -> EdgeRow:
    return EdgeRow(
        r.source_type or resolve(r.source_reference, f"{path}.source_reference", known),
        r.source_reference,
        r.target_type or resolve(r.target_reference, f"{path}.target_reference", known),
        r.target_reference,
        r.relationship_type,
        None if r.description is None else r.description.decode(),
        now,
    )


def parse(
    body: bytes, *, max_items: int, max_value_bytes: int, refusals: Refusals | None = None
) -> SyncRequest:
    """Read and judge a body. Raises ProblemError (not JSON) or InvalidError (names the field).

    With `refusals`, what is wrong with one item is kept there, and the item is left out; an entity takes
    its properties with it.
    """
    items = read_items(body, one_by_one=refusals is not None)
    count = sum(map(len, items))
    count += sum(len(entity.properties) for entity in items.entities if isinstance(entity, EntityIn))
    if count > max_items:
        longest = max(SyncItems._fields, key=lambda name: len(getattr(items, name)))
        raise InvalidError(
            f"The request has {count} entities, properties, relationships and removals; {max_items} are the "
            "most. Split it.",
            code="too-many-items",
            field=longest,
        )
    request = SyncRequest(entities=[], properties=[], relationships={}, removed_relationships={}, paths={})
    statements = Statements()
    for index, sent in enumerate(items.entities):
        path = f"entities[{index}]"
        with judging("entity", refusals):
            entity = decoded(sent)
            key = _entity(entity, path)
            own_date = _own_date(entity.reference_date, f"{path}.reference_date")
            request.entities.append(key)
            request.paths.setdefault(key, f"{path}.properties")
            for name, raw in entity.properties.items():
                at = join(f"{path}.properties", name)
                with judging("property", refusals):
                    check_name(name, at, MAX_FIELD_BYTES)
                    told_property = _property(
                        key, name, bytes(raw), own_date, path, max_bytes=max_value_bytes
                    )
                    _note(statements, told_property, at)
                    request.properties.append(told_property)
    for index, told in enumerate(items.relationships):
        with judging("relationship", refusals):
            relationship = decoded(told)
            _check_relationship(relationship, f"relationships[{index}]", max_value_bytes)
            request.relationships[index] = relationship
    for index, ended in enumerate(items.removed_relationships):
        with judging("relationship", refusals):
            request.removed_relationships[index] = check_removed_relationship(
                decoded(ended), f"removed_relationships[{index}]"
            )
    for index, hidden in enumerate(items.removed_properties):
        with judging("property", refusals):
            at = f"removed_properties[{index}]"
            key, field, date = removed_property(decoded(hidden), at)
            removed = Property(
                key=key, field=field, value=None, reference_date=date, date_path=f"{at}.reference_date"
            )
            _note(statements, removed, at)
            request.paths.setdefault(key, at)
            request.properties.append(removed)
    return request


def _note(statements: Statements, told: Property, path: str) -> None:
    key = told.key
    statements.add(
        (key, told.field, told.reference_date),
        told.value,
        path,
        f"the field {told.field!r} of {key.type}/{key.reference}",
    )


def _entity(entity: EntityIn, path: str) -> EntityKey:
    check_name(entity.reference, f"{path}.reference", MAX_REFERENCE_BYTES)
    return EntityKey(check_type(entity.type, f"{path}.type"), entity.reference)


def _own_date(text: str | None, field: str) -> str | None:
    return None if text is None else dates.to_text(dates.parse(text, field=field))


def _property(
    key: EntityKey, name: str, raw: bytes, own_date: str | None, path: str, *, max_bytes: int
) -> Property:
    field, date_path = join(f"{path}.properties", name), f"{path}.reference_date"
    value, reference_date = raw, own_date
    if raw.startswith(b"{"):
        members = _OBJECT.decode(raw)
        if members.keys() == _STORED_SHAPE:
            _WRAPPED.check_names(raw, field)
            value = bytes(members["value"])
            date_path = f"{field}.reference_date"
            reference_date = _told(bytes(members["reference_date"]), date_path)
            field = f"{field}.value"
    return Property(
        key=key,
        field=name,
        value=check_json_text(value, field, max_bytes),
        reference_date=reference_date,
        date_path=date_path,
    )


def _told(raw: bytes, field: str) -> str:
    try:
        text = _TEXT.decode(raw)
    except msgspec.ValidationError:
        text = ""  # refused below, with the same words as any other text that is not a date
    return dates.to_text(dates.parse(text, field=field))


def _check_relationship(relationship: RelationshipIn, path: str, max_value_bytes: int) -> None:
    check_relationship(
        path,
        source_reference=relationship.source_reference,
        target_reference=relationship.target_reference,
        relationship_type=relationship.relationship_type,
        source_type=relationship.source_type,
        target_type=relationship.target_type,
    )
    metadata = relationship.description
    if metadata is not None:
        if not metadata.startswith(b"{"):
            raise InvalidError(
                f"{path}.metadata is not an object.", code="ill-typed-field", field=f"{path}.metadata"
            )
        check_json_text(metadata, f"{path}.metadata", max_value_bytes)
