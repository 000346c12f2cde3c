"""What the topic of domain events says is there: a fold of its events, names without values."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import msgspec

from app.errors import InvalidError
from app.models import EntityKey
from app.ports import Record

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


class _Data(msgspec.Struct):
    reference: str
    type: str = ""
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

    Memory: a few hundred bytes for each thing that was ever published.
    """

    def __init__(self) -> None:
        self._things: dict[Thing, tuple[int, bool]] = {}

    def add(self, record: Record) -> None:
        """Apply one event. Types that are not known are passed over. Raises InvalidError where it is no event."""
        kind = next((value.decode() for name, value in record.headers if name == "event_type"), "")
        if record.value is None or not kind:
            raise InvalidError("The record is no domain event.", code="not-an-event")
        try:
            data = _body.decode(record.value).data
            for thing, alive in _told(kind, data):
                known = self._things.get(thing)
                if known is None or record.timestamp >= known[0]:
                    self._things[thing] = (record.timestamp, alive)
        except (msgspec.MsgspecError, KeyError) as error:
            raise InvalidError(f"The record is no domain event: {error}.", code="not-an-event") from None

    def living(self) -> set[Thing]:
        """What is there according to the events."""
        return {thing for thing, (_, alive) in self._things.items() if alive}


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
        named = {
            name: next(text for text in _both(properties, name) if text is not None)
            for name in ("idempotency_key", "key", "granularity", "reference_date")
        }
        yield Point(entity=EntityKey(data.type, data.reference), **named), kind not in _ENDS


def _both(properties: Mapping[str, msgspec.Raw], name: str) -> tuple[str | None, str | None]:
    raw = properties.get(name)
    if raw is None:
        return None, None
    change = _text.decode(raw)
    return change.old, change.new
