"""What was published beside what the database holds: the events that make the one say the other."""

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from app.core.models import EntityKey
from app.core.records import OutgoingEvent, PublishedNote
from app.core.snapshot import EdgeNow, EntityNow, PointNow
from app.ports.erasure import ErasureRegister
from app.ports.snapshots import GraphReading
from cdc.envelope import (
    Change,
    EdgeChange,
    EdgeRow,
    EntityChange,
    EntityRow,
    Source,
    TemporalChange,
    TemporalRow,
)
from cdc.events.events import events_of
from cdc.events.fields import short_date
from cdc.events.key_cache import PLACEHOLDER_TYPE
from cdc.recovery.missed_deletions import Endings
from cdc.recovery.noted_state import NotedView, erasure_notes, note_of
from cdc.recovery.published_state import Point, Relationship, Thing, Told, erasure_in

RECOVERED: Final = ("recovered", b"true")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(slots=True, kw_only=True)
class Differences:
    """Events of a comparison, each with its type, and the notes that say afterwards what consumers know.

    Everything that is there and was written lately, or was not published, comes as `…_created` with all that it
    holds now; everything that was published and is not there is ended, last, as cdc.recovery.missed_deletions says.
    Their time is that of the reading, their position its position, and their transaction 0, so that no change has
    their idempotency keys; a second comparison has others.
    """

    reading: GraphReading
    published: Mapping[Thing, Told]
    erasures: Mapping[str, int]  # that were published: ledger ids and times
    register: ErasureRegister
    notes: NotedView = field(default_factory=NotedView)  # as they were before
    _kept: set[bytes] = field(default_factory=set, init=False)  # keys of notes of what is there
    _there: set[Thing] = field(default_factory=set, init=False)
    _living: set[EntityKey] = field(default_factory=set, init=False)

    async def steps(self) -> AsyncIterator[tuple[str, OutgoingEvent] | PublishedNote]:
        """Entities, relationships, points, then what is gone, entities last, and the notes of it."""
        async for entity in self.reading.entities():
            self._lives(entity.key)
            for step in self._is_there(entity.key, (entity.id,), self._entity(entity), recent=entity.recent):
                yield step
        async for edge in self.reading.edges():
            thing = Relationship(edge.left, edge.right, edge.relationship_type)
            ends = edge.left_id, edge.right_id
            for step in self._is_there(thing, ends, self._edge(edge), recent=edge.recent):
                yield step
        async for point in self.reading.points():
            subject = (point.entity_id,)
            for step in self._is_there(_published(point), subject, self._point(point), recent=point.recent):
                yield step
        endings = Endings(
            gone={thing: told for thing, told in self.published.items() if thing not in self._there},
            published=self.published,
            erasures=self.erasures,
            living=self._living,
            register=self.register,
            source=self._source,
        )
        async for kind, ending in endings.events():
            ending.headers.append(RECOVERED)
            yield kind, ending
            if kind == "entity_erased":
                for note in erasure_notes([(erasure_in(ending.value), ending.timestamp_ms)]):
                    yield note
        for key in self.notes.things.keys() - self._kept:
            yield PublishedNote(key, None)

    def _is_there(
        self,
        thing: Thing,
        ids: tuple[int, ...],
        events: Iterator[tuple[str, OutgoingEvent]],
        *,
        recent: bool,
    ) -> Iterator[tuple[str, OutgoingEvent] | PublishedNote]:
        """Its events, which are made where they are asked for, and its note, unless there is one that says so."""
        if not self._take(thing) or recent:
            yield from events
        note = note_of(thing, ids, self._source("").ts_ms)
        self._kept.add(note.key)
        known = self.notes.things.get(note.key)
        if known is None or known[0] != thing:
            yield note

    def _take(self, thing: Thing) -> bool:
        """Whether it was published; what is never taken is gone."""
        known = thing in self.published
        if known:
            self._there.add(thing)
        return known

    def _lives(self, key: EntityKey) -> None:
        placeholder = EntityKey(PLACEHOLDER_TYPE, key.reference)  # who may be the same, with a type now
        self._living.update(each for each in (key, placeholder) if each in self.published)

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


def _published(now: PointNow) -> Point:
    date = short_date(now.reference_date)
    return Point(now.idempotency_key, now.entity, now.key, now.granularity, date)


def _marked(change: Change, keys: dict[int, EntityKey]) -> Iterator[tuple[str, OutgoingEvent]]:
    for kind, event in events_of(change, keys):
        event.headers.append(RECOVERED)
        yield kind, event
