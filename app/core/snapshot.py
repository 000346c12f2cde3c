"""A consistent reading of the whole graph, row by row: what a recovery compares with what was published."""

from dataclasses import dataclass

from app.core.models import EntityKey


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityNow:
    """`recent`: its row was written at or after the asked time, or it is not known when."""

    id: int
    key: EntityKey
    properties: str  # jsonb text
    recent: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeNow:
    """A relationship that is not marked as removed."""

    id: int
    left_id: int
    right_id: int
    left: EntityKey
    right: EntityKey
    relationship_type: str
    metadata: str | None  # jsonb text
    recent: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PointNow:
    """A point of a time series; dates are ISO 8601 in UTC."""

    entity_id: int
    entity: EntityKey
    key: str
    granularity: str
    period_start: str
    reference_date: str
    value: str  # jsonb text
    idempotency_key: str
    recent: bool
