"""The first notes of an installation whose events are older than its notes, beside workers that publish.

Workers of this version keep the notes of what they publish. What was published before is folded from the events, all of
which must still be there. While that is written, workers write about the same things. So in the end, for a moment in
which nobody publishes, what was told since is folded too, and notes that may stand over newer ones are written again.
"""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

from app.config.settings import Settings
from app.core.models import EntityKey
from app.core.records import PublishedNote
from app.ports.erasure import ErasureRegister, PublishFence
from app.ports.events import EventSink, NoteRegister
from app.ports.snapshots import GraphReading, GraphSnapshots
from cdc.envelope import Source
from cdc.recovery.known import Known, known_to_consumers
from cdc.recovery.missed_deletions import Endings, ends_of, number_in
from cdc.recovery.noted_state import erasure_notes, note_of
from cdc.recovery.published_state import Point, PublishedView, Relationship, Thing, Told

_BATCH: Final = 1_000


@dataclass(kw_only=True)
class NoteTaking:
    """Notes everything that consumers know. It may be repeated: what is noted already is left alone."""

    settings: Settings
    snapshots: GraphSnapshots
    register: NoteRegister
    erasures: ErasureRegister
    fence: PublishFence
    events: EventSink
    _ids: dict[Thing, tuple[int, ...]] = field(default_factory=dict, init=False)  # of what is there
    _written: dict[bytes, tuple[Thing, tuple[int, ...]]] = field(default_factory=dict, init=False)

    async def run(self) -> int:
        """Return how many notes were written or removed. Raises TransientError or FatalError."""
        known = await known_to_consumers(self.settings, self.register)
        async with self.snapshots.open(since=None) as reading:
            await self._learn_ids(reading, known.view)
        written = await self._publish([note async for note in self._missing(known)])
        touched = await known.go_on(self.settings)  # most of what came meanwhile, while others still publish
        ids = {number for _, numbers in self._written.values() for number in numbers if number > 0}
        async with self.fence.alone(ids) as erased:
            touched |= await known.go_on(self.settings)
            written += await self._publish(list(self._replaced(known, touched, erased)))
            await self.register.note_complete(self.settings.topics.published)
        return written

    async def _learn_ids(self, reading: GraphReading, view: PublishedView) -> None:
        """What consumers know and is there, and by which ids workers name its notes."""
        async for entity in reading.entities():
            if view.told(entity.key) is not None:
                self._ids[entity.key] = (entity.id,)
        async for edge in reading.edges():
            thing = Relationship(edge.left, edge.right, edge.relationship_type)
            if view.told(thing) is not None:
                self._ids[thing] = edge.left_id, edge.right_id
        async for now in reading.points():
            point = Point(now.idempotency_key, now.entity, now.key, now.granularity, now.reference_date)
            if view.told(point) is not None:
                self._ids[point] = (now.entity_id,)

    async def _missing(self, known: Known) -> AsyncIterator[PublishedNote]:
        notes, kept = known.notes, set[bytes]()
        living = known.view.living()
        gone = {thing: told for thing, told in living.items() if thing not in self._ids}
        for thing in await self._erased(gone, known):
            del living[thing]
        for thing, told in living.items():
            ids = self._ids_of(thing, told, known.view)
            note = note_of(thing, ids, told.at_ms)
            kept.add(note.key)
            if note.key not in notes.things or notes.things[note.key][0] != thing:
                self._written[note.key] = thing, ids
                yield note
        for key, (thing, _) in notes.things.items():
            ended = known.view.told(thing)
            if key not in kept and ended is not None and not ended.alive:  # as an event says that is newer
                self._written[key] = thing, ()
                yield PublishedNote(key, None)
        for note in erasure_notes(sorted(known.view.erasures.items() - notes.erasures.items())):
            yield note

    async def _erased(self, gone: dict[Thing, Told], known: Known) -> list[Thing]:
        """What is not there any more and about somebody who was erased: it is told without a name, or will be."""
        endings = Endings(
            gone=gone,
            published=known.view.living(),
            erasures=known.view.erasures,
            living=frozenset(),
            register=self.erasures,
            source=_no_source,
        )
        things, found = list(gone), list[Thing]()
        for start in range(0, len(things), _BATCH):
            batch = things[start : start + _BATCH]
            for thing, ends in zip(batch, await endings.erased_ends(batch), strict=True):
                if ends:
                    found.append(thing)
        return found

    def _replaced(self, known: Known, touched: set[Thing], erased: frozenset[int]) -> Iterator[PublishedNote]:
        """The notes of what was told or erased since, where this run has written under their keys."""
        now: dict[bytes, PublishedNote] = {}
        for thing in touched:
            told = known.view.told(thing)
            if told is not None and told.alive:
                note = note_of(thing, self._ids_of(thing, told, known.view), told.at_ms)
                now[note.key] = note
        for key, (thing, ids) in self._written.items():
            if not erased.isdisjoint(ids):
                yield PublishedNote(key, None)
            elif key in now:
                yield now[key]
            elif thing in touched:
                yield PublishedNote(key, None)

    def _ids_of(self, thing: Thing, told: Told, view: PublishedView) -> tuple[int, ...]:
        ids = self._ids.get(thing)
        if ids is not None:
            return ids
        if isinstance(thing, EntityKey) and told.entity_id is not None:
            return (told.entity_id,)
        return tuple(self._told_id(end, view) for end in ends_of(thing))

    def _told_id(self, end: EntityKey, view: PublishedView) -> int:
        """The id of an end that is gone; where no event told it, a keyed hash that no id is."""
        told = view.told(end)
        number = None if told is None else told.entity_id
        if number is None:
            number = number_in(end)
        if number is None:
            key = self.settings.erasure_key.get_secret_value().encode()[:64]
            number = -int.from_bytes(blake2b(repr(end).encode(), key=key, digest_size=7).digest())
        return number

    async def _publish(self, notes: list[PublishedNote]) -> int:
        for start in range(0, len(notes), _BATCH):
            await self.events.publish((), notes[start : start + _BATCH])
        return len(notes)


def _no_source(_: str) -> Source:
    """Endings are asked here who is erased, and make no events, which alone have sources."""
    raise AssertionError("No event is made of these endings.")
