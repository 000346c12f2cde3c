"""What consumers know by the domain events: a fold of them, names without values.

Where the topic no longer holds all events, the fold begins with the notes of what was told (cdc.recovery.noted_state).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from app.core.errors import InvalidError
from app.core.models import EntityKey
from app.core.records import Record

_ENDS = frozenset({"entity_deleted", "relationship_deleted", "temporal_data_deleted"})
_BEGINS = frozenset({"entity_created", "relationship_created", "temporal_data_created"})


@dataclass(frozen=True, slots=True)
class Relationship:
    """A relationship by the names of its ends; a type is empty where the event had none."""

    left: EntityKey
    right: EntityKey
    relationship_type: str


@dataclass(frozen=True, slots=True)
class Point:
    """A point of a time series: its `idempotency_key` alone is its identity."""

    idempotency_key: str
    entity: EntityKey = field(compare=False)
    key: str = field(compare=False)
    granularity: str = field(compare=False)
    reference_date: str = field(compare=False)


Thing = EntityKey | Relationship | Point


class Told(NamedTuple):
    """The last event about a thing: its time, whether the thing is there after it, and the id of its subject."""

    at_ms: int
    alive: bool
    entity_id: int | None  # not told by old events


class _Data(msgspec.Struct):
    reference: str
    type: str = ""
    ledger_id: str = ""
    target_entity_reference: str = ""
    target_entity_type: str = ""
    properties: dict[str, msgspec.Raw] = {}


class _Body(msgspec.Struct):
    data: _Data


class _TextChange(msgspec.Struct):
    old: str | None = None
    new: str | None = None


_body = msgspec.json.Decoder(_Body)
_text = msgspec.json.Decoder(_TextChange)


class PublishedView:
    """Folds events in the order of each partition; between partitions the later commit counts.

    What an erasure deletes is told without names, so that it stays here; `erasures` holds each by its ledger id, with
    the time of its last event. Memory: a few hundred bytes for each thing that was ever published.
    """

    def __init__(self) -> None:
        self._things: dict[Thing, Told] = {}
        self.erasures: dict[str, int] = {}

    def seed(self, thing: Thing, told: Told) -> None:
        """Take what an event, or a note, tells of a thing, unless something later is known."""
        known = self._things.get(thing)
        if known is None or told.at_ms >= known.at_ms:
            self._things[thing] = told

    def told(self, thing: Thing) -> Told | None:
        """The last event, or the note, about a thing; also of one that ended by an event."""
        return self._things.get(thing)

    def add(self, record: Record) -> list[Thing]:
        """Apply one event, and return the things that it tells of. Types that are not known are passed over.

        Raises InvalidError where it is no event.
        """
        headers = {name: value.decode() for name, value in record.headers}
        kind = headers.get("event_type", "")
        if record.value is None or not kind:
            raise InvalidError("The record is no domain event.", code="not-an-event")
        at_ms, number = record.timestamp, headers.get("entity_id", "")
        entity_id = int(number) if number.isascii() and number.isdecimal() else None
        try:
            data = _body.decode(record.value).data
            if kind == "entity_erased":
                self.erasures[data.ledger_id] = max(at_ms, self.erasures.get(data.ledger_id, at_ms))
            things = []
            for thing, alive in _told(kind, data):
                things.append(thing)
                self.seed(thing, Told(at_ms, alive, entity_id))
        except (msgspec.MsgspecError, KeyError) as error:
            raise InvalidError(f"The record is no domain event: {error}.", code="not-an-event") from None
        return things

    def living(self) -> dict[Thing, Told]:
        """What is there according to the events, those of erasures aside."""
        return {thing: told for thing, told in self._things.items() if told.alive}


def _told(kind: str, data: _Data) -> Iterator[tuple[Thing, bool]]:
    if kind.startswith("entity_"):
        if kind in _BEGINS | _ENDS or kind == "entity_properties_updated":
            yield EntityKey(data.type, data.reference), kind not in _ENDS
    elif kind.startswith("relationship_"):
        was_type, now_type = _both(data.properties, "relationship_type")
        left = EntityKey(data.type, data.reference)
        right = EntityKey(data.target_entity_type, data.target_entity_reference)
        if was_type is not None:
            yield Relationship(left, right, was_type), False
        if now_type is not None:
            yield Relationship(left, right, now_type), True
    elif kind.startswith("temporal_data_") and kind in _BEGINS | _ENDS:  # an update does not name the point
        properties = data.properties
        if not properties:
            return  # by an erasure, or of somebody who is gone
        named = {
            name: _either(properties, name)
            for name in ("idempotency_key", "key", "granularity", "reference_date")
        }
        yield Point(entity=EntityKey(data.type, data.reference), **named), kind not in _ENDS


def _either(properties: Mapping[str, msgspec.Raw], name: str) -> str:
    old, new = _both(properties, name)
    text = new if old is None else old
    if text is None:
        raise KeyError(name)
    return text


def _both(properties: Mapping[str, msgspec.Raw], name: str) -> tuple[str | None, str | None]:
    raw = properties.get(name)
    if raw is None:
        return None, None
    change = _text.decode(raw)
    return change.old, change.new


def erasure_in(body: bytes) -> str:
    """The ledger id of an `entity_erased`."""
    return _body.decode(body).data.ledger_id
