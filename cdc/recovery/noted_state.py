"""What the notes say that consumers know: the fold of the compacted topic (see cdc.events.notes)."""

from collections.abc import Iterable
from typing import Final

from app.core.models import EntityKey
from app.core.records import PublishedNote, Record
from cdc.events.notes import (
    Noted,
    Series,
    entity_note,
    erasure_note,
    point_note,
    read_note,
    relationship_note,
)
from cdc.recovery.published_state import Point, PublishedView, Relationship, Thing, Told


class NotedView:
    """The newest note of each key. Memory: a few hundred bytes for each thing that consumers know."""

    def __init__(self) -> None:
        self.things: Final[
            dict[bytes, tuple[Thing, int]]
        ] = {}  # by the note's key, with its time in milliseconds
        self.erasures: Final[dict[str, int]] = {}

    def add(self, record: Record) -> None:
        """Take one record; others than notes are passed over. Raises InvalidError."""
        self.take(PublishedNote(record.key or b"", record.value))

    def take(self, note: PublishedNote) -> None:
        """Take one note. Raises InvalidError."""
        read = read_note(note.key, note.value)
        if read is None:
            return
        kind, rest, noted = read
        if kind == "erasure":
            if noted is None:
                self.erasures.pop(rest, None)
            else:
                self.erasures[rest] = noted.at
        elif noted is None:
            self.things.pop(note.key, None)
        else:
            self.things[note.key] = _thing(kind, rest, noted), noted.at

    def view(self) -> PublishedView:
        """A view that begins with what the notes say; the events that are still there may be added to it."""
        view = PublishedView()
        for key, (thing, at_ms) in self.things.items():
            view.seed(thing, Told(at_ms, alive=True, entity_id=_subject(key)))
        view.erasures |= self.erasures
        return view


def note_of(thing: Thing, ids: tuple[int, ...], at_ms: int) -> PublishedNote:
    """The note of a thing; `ids` are those of its ends, the source first, and of a point none."""
    if isinstance(thing, EntityKey):
        return entity_note(ids[0], thing, at_ms)
    if isinstance(thing, Relationship):
        return relationship_note((ids[0], ids[1]), (thing.left, thing.right), thing.relationship_type, at_ms)
    series = Series(thing.key, thing.granularity, thing.reference_date)
    return point_note(thing.idempotency_key, thing.entity, series, at_ms)


def erasure_notes(erasures: Iterable[tuple[str, int]]) -> list[PublishedNote]:
    """Of erasures that were told: ledger ids and times."""
    return [erasure_note(ledger_id, at_ms) for ledger_id, at_ms in erasures]


def _thing(kind: str, rest: str, noted: Noted) -> Thing:
    if kind == "entity":
        return noted.entity
    if kind == "relationship":
        return Relationship(noted.entity, noted.target, noted.key)
    return Point(rest, noted.entity, noted.key, noted.granularity, noted.date)


def _subject(key: bytes) -> int | None:
    """The id of the entity that a note is about, of a relationship that of its source: keys begin with it."""
    digits = key.partition(b"/")[2].partition(b"/")[0].partition(b":")[0]
    return int(digits) if digits.isdigit() else None
