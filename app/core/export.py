"""The lines of an export: each is one JSON object, whose `kind` says what it is. Dates are RFC 3339 in UTC."""

from typing import Literal

import msgspec

from app.core.models import Source


class Entity(msgspec.Struct, frozen=True, tag_field="kind", tag="entity"):
    """The first line; `exported_at` is the time of the snapshot that all lines are of."""

    id: int
    type: str
    reference: str
    created_at: str
    updated_at: str
    exported_at: str


class Property(msgspec.Struct, frozen=True, tag_field="kind", tag="property"):
    """A field with its value, or `removed` where it is hidden; `source` where it is known."""

    field: str
    reference_date: str
    value: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    removed: bool | msgspec.UnsetType = msgspec.UNSET
    source: Source | msgspec.UnsetType = msgspec.UNSET


class Relationship(msgspec.Struct, frozen=True, tag_field="kind", tag="relationship"):
    """`out`: from the entity to `other_…`; `in`: to the entity; `self`: both. With `removed_at` it does not stand."""

    direction: Literal["out", "in", "self"]
    relationship_type: str
    other_id: int
    other_type: str | None  # None where the other end is gone
    other_reference: str | None
    metadata: msgspec.Raw
    metadata_date: str | None
    removed_at: str | None
    created_at: str
    updated_at: str


class Temporal(msgspec.Struct, frozen=True, tag_field="kind", tag="temporal"):
    """A point of a time series, of any age."""

    key: str
    granularity: str
    period_start: str
    reference_date: str
    version: int
    value: msgspec.Raw
    created_at: str
    updated_at: str


class End(msgspec.Struct, frozen=True, tag_field="kind", tag="end"):
    """The last line; an export without it broke off. `lines` are those before it."""

    lines: int


ExportLine = Entity | Property | Relationship | Temporal
