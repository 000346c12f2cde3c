"""What a batch of writes consists of, and what a write changed.

Rows are named tuples, since they go to COPY as they are. Values are JSON *text*, taken from the
message byte for byte: a float would lose digits of 12345678901234567890.123 without an error.

`told_at` is when a fact was told: the record's timestamp, or the time of the request. An erasure is compared with it,
and with where the record lies, since a timestamp may be ahead. Who wins is decided by reference dates, which say
nothing about when a fact was told.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from typing import Literal, NamedTuple

import msgspec

Granularity = Literal["instant", "day", "week", "month", "quarter", "year"]


class RecordSource(msgspec.Struct, frozen=True, gc=False, tag_field="kind", tag="record"):
    """A record of a topic."""

    topic: str
    partition: int
    offset: int


class RequestSource(msgspec.Struct, frozen=True, gc=False, tag_field="kind", tag="request"):
    """An HTTP request, by the id that its answer and the log bear."""

    request_id: str


Source = (
    RecordSource | RequestSource
)  # where a statement came from; it decides nothing but what is from before an erasure


class EntityKey(NamedTuple):
    """The business key of an entity; unique."""

    type: str
    reference: str


class EntityRow(NamedTuple):
    """An entity that a record names by itself."""

    type: str
    reference: str
    told_at: datetime
    source: Source | None = None  # the record or request; an erasure is compared with it


class PropertyRow(NamedTuple):
    """One field of one entity as told at `reference_date`."""

    type: str
    reference: str
    field: str
    value: str | None  # JSON text; None: the field is removed, which of equal dates wins over any value
    reference_date: str  # fixed-width UTC text of app.core.dates.to_text: sorts as text in the order of time
    told_at: datetime
    source: Source | None = None  # kept with what wins; an erasure is compared with it


class EdgeRow(NamedTuple):
    """One relationship, left → right."""

    left_type: str
    left_reference: str
    right_type: str
    right_reference: str
    relationship_type: str
    metadata: str | None  # JSON text; None: a plain edge, which stores no date
    told_at: datetime  # orders metadata, too, and decides against a removal
    source: Source | None = None  # the record or request; an erasure is compared with it


class RemovedEdge(NamedTuple):
    """One relationship that is removed, at the time at which it is written."""

    left_type: str
    left_reference: str
    right_type: str
    right_reference: str
    relationship_type: str


class TemporalRow(NamedTuple):
    """One point of one time series: unique by (entity, key, granularity, period_start)."""

    type: str
    reference: str
    key: str
    granularity: Granularity
    period_start: datetime  # UTC; of `instant` the date itself
    period: str  # as idempotency keys spell it: 2025, 2025-Q4, 2025-10, 2025-W40, 2025-10-05, or the instant
    reference_date: datetime  # UTC; decides who wins, before `version`
    version: int
    value: str  # JSON text
    told_at: datetime
    source: Source | None = None  # the record or request; an erasure is compared with it


Row = EntityRow | PropertyRow | EdgeRow | TemporalRow


@dataclass(slots=True, kw_only=True)
class Batch:
    """Everything that one transaction writes. May hold repetitions; the order of rows means nothing.

    Removed edges are removed after all else is written. An end that does not exist is not created by them. `log_ends`
    are the end offsets of topics, by partition, when the removal was asked for, where they are known: what lay before
    them does not bring an edge back.
    """

    entities: list[EntityRow] = field(default_factory=list)
    properties: list[PropertyRow] = field(default_factory=list)
    edges: list[EdgeRow] = field(default_factory=list)
    temporal: list[TemporalRow] = field(default_factory=list)
    removed_edges: list[RemovedEdge] = field(default_factory=list)
    log_ends: Mapping[str, Sequence[int]] | None = None

    def __len__(self) -> int:
        rows = len(self.entities) + len(self.properties) + len(self.edges) + len(self.temporal)
        return rows + len(self.removed_edges)

    @property
    def rows(self) -> Iterator[Row]:
        """All but removals."""
        return chain(self.entities, self.properties, self.edges, self.temporal)

    @property
    def keys(self) -> set[EntityKey]:
        """Every entity that some row names and that is created where it is missing."""
        named = {EntityKey(row.type, row.reference) for row in self.entities}
        named.update(EntityKey(row.type, row.reference) for row in self.properties)
        named.update(EntityKey(row.type, row.reference) for row in self.temporal)
        for edge in self.edges:
            named.add(EntityKey(edge.left_type, edge.left_reference))
            named.add(EntityKey(edge.right_type, edge.right_reference))
        return named

    def extend(self, other: "Batch") -> None:
        """Take the rows of another batch in."""
        self.entities += other.entities
        self.properties += other.properties
        self.edges += other.edges
        self.temporal += other.temporal
        self.removed_edges += other.removed_edges
        # None of the removals is answered yet: what came between their questions may be on either side.
        self.log_ends = other.log_ends or self.log_ends


class Lookup(NamedTuple):
    """A property path without the storage's `value` segment, and the canonical text of a scalar."""

    path: str
    value: str


Stale = (
    int | EntityKey | Lookup
)  # whose cached answers a commit made old: an entity's id, a reference, a look-up


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What a committed transaction changed: the input of cache invalidation.

    `position` is the primary's WAL flush position read after the commit returned (design, rule 1 of
    freshness), as an integer LSN; it is set also when nothing changed.
    """

    position: int
    entities: frozenset[int] = frozenset()  # ids whose fragment is another one now
    keys: frozenset[EntityKey] = frozenset()  # created, promoted or erased: by-reference answers change
    lookups: frozenset[Lookup] = frozenset()  # (path, value) pairs, old and new
    entities_created: int = 0
    properties_changed: int = 0
    edges_changed: int = 0
    temporal_changed: int = 0
    erased: frozenset[Row] = (
        frozenset()
    )  # rows of requests that were dropped: their entity was erased meanwhile
    losing: frozenset[Row] = frozenset()  # rows of requests that say what is stored, or something older

    @property
    def stale(self) -> list[Stale]:
        """All whose cached answers are old."""
        return [*self.entities, *self.keys, *self.lookups]

    def __bool__(self) -> bool:
        return bool(self.entities or self.keys or self.lookups)
