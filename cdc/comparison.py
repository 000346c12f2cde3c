"""What was published beside what the database holds: the events that make the one say the other."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from app.models import EntityKey
from app.ports import OutgoingEvent
from app.snapshot import EdgeNow, EntityNow, GraphReading, PointNow
from cdc.envelope import (
    Change,
    EdgeChange,
    EdgeRow,
    EntityChange,
    EntityRow,
    Operation,
    Source,
    TemporalChange,
    TemporalRow,
)
from cdc.events import events_of
from cdc.published import Point, Relationship, Thing

RECOVERED: Final = ("recovered", b"true")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_FALLBACK: Final = "entity-"


@dataclass(slots=True, kw_only=True)
class Differences:
    """Events of a comparison, each with its type. `published` is used up.

    Everything that is there and was written lately, or was not published, comes as `…_created` with all that it
    holds now; everything that was published and is not there comes as `…_deleted`, last. Their time is that of the
    reading, their position its position, and their transaction 0, so that no change has their idempotency keys; a
    second comparison has others.
    """

    reading: GraphReading
    published: set[Thing]

    async def events(self) -> AsyncIterator[tuple[str, OutgoingEvent]]:
        """Entities, relationships, points, and then what is gone, entities last."""
        async for entity in self.reading.entities():
            if not self._take(entity.key) or entity.recent:
                for event in self._entity(entity):
                    yield event
        async for edge in self.reading.edges():
            if not self._take(Relationship(edge.left, edge.right, edge.relationship_type)) or edge.recent:
                for event in self._edge(edge):
                    yield event
        async for point in self.reading.points():
            if not self._take(_published(point)) or point.recent:
                for event in self._point(point):
                    yield event
        order = {Relationship: 0, Point: 1, EntityKey: 2}
        for thing in sorted(self.published, key=lambda gone: (order[type(gone)], repr(gone))):
            for event in self._gone(thing):
                yield event

    def _take(self, thing: Thing) -> bool:
        """Whether it was published; what remains in the end is gone."""
        known = thing in self.published
        self.published.discard(thing)
        return known

    def _source(self, table: str) -> Source:
        moment_us = (self.reading.at - _EPOCH) // _MICROSECOND
        return Source(table, self.reading.position, 0, moment_us // 1000, moment_us)

    def _entity(self, now: EntityNow) -> Iterator[tuple[str, OutgoingEvent]]:
        row = EntityRow(now.id, now.key.type, now.key.reference, now.properties)
        yield from _marked(EntityChange("r", self._source("entities"), None, row), {})

    def _edge(self, now: EdgeNow) -> Iterator[tuple[str, OutgoingEvent]]:
        row = EdgeRow(now.id, now.left_id, now.right_id, now.relationship_type, now.metadata)
        keys = {now.left_id: now.left, now.right_id: now.right}
        yield from _marked(EdgeChange("r", self._source("edges"), None, row), keys)

    def _point(self, now: PointNow) -> Iterator[tuple[str, OutgoingEvent]]:
        row = TemporalRow(
            now.entity_id,
            now.key,
            now.granularity,
            now.period_start,
            now.reference_date,
            now.value,
            now.idempotency_key,
        )
        change = TemporalChange("r", self._source("temporal_properties"), None, row)
        yield from _marked(change, {now.entity_id: now.entity})

    def _gone(self, thing: Thing) -> Iterator[tuple[str, OutgoingEvent]]:
        # Ids are not known any more, so names stand for them in the idempotency key.
        operation: Operation = "d"
        if isinstance(thing, EntityKey):
            entity = EntityRow(0, thing.type, thing.reference, "{}")
            change: Change = EntityChange(operation, self._named("entities", thing), entity, None)
            yield from _marked(change, {})
        elif isinstance(thing, Relationship):
            left, right = _stand_in(thing.left, -1), _stand_in(thing.right, -2)
            row = EdgeRow(0, left, right, thing.relationship_type)
            keys = {-1: thing.left, -2: thing.right}
            yield from _marked(EdgeChange(operation, self._named("edges", thing), row, None), keys)
        else:
            entity_id = _stand_in(thing.entity, -1)
            point = TemporalRow(
                entity_id,
                thing.key,
                thing.granularity,
                "",
                thing.reference_date,
                "null",
                thing.idempotency_key,
            )
            source = self._named("temporal_properties", thing)
            yield from _marked(TemporalChange(operation, source, point, None), {-1: thing.entity})

    def _named(self, table: str, thing: Thing) -> Source:
        source = self._source(table)
        return Source(f"{table}|{thing!r}", source.lsn, 0, source.ts_ms, source.ts_us)


def _published(now: PointNow) -> Point:
    return Point(now.idempotency_key, now.entity, now.key, now.granularity, now.reference_date)


def _stand_in(key: EntityKey, number: int) -> int:
    """An id that `keys` knows, or the very id by which an entity was published that was gone then."""
    digits = key.reference.removeprefix(_FALLBACK)
    return int(digits) if not key.type and digits.isascii() and digits.isdecimal() else number


def _marked(change: Change, keys: dict[int, EntityKey]) -> Iterator[tuple[str, OutgoingEvent]]:
    for kind, event in events_of(change, keys):
        event.headers.append(RECOVERED)
        yield kind, event
