"""What must be stored once all messages have been taken: the rules of the three topics, written a second time.

Imports nothing of the project. It sees all messages at once, has no batches and no order, and takes for each thing
the greatest of all that was told. Only messages that the topics accept.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple


class Message(NamedTuple):
    topic: str
    timestamp: int  # of the record, milliseconds since 1970
    value: bytes


class Entity(NamedTuple):
    type: str
    reference: str


class Edge(NamedTuple):
    left: Entity
    right: Entity
    relation: str


class Told(NamedTuple):
    """A value with its date. The greater one wins: texts of Python are ordered as their bytes in UTF-8 are."""

    date: datetime  # UTC
    value: str  # as jsonb spells it


class PointKey(NamedTuple):
    entity: Entity
    key: str
    granularity: str
    start: datetime  # UTC


class Point(NamedTuple):
    """A point with what decides between two of them, in that order."""

    date: datetime  # UTC
    version: int
    value: str  # as jsonb spells it
    period: str  # follows from the key


@dataclass
class Stored:
    """The contents of the database but for ids and the times of bookkeeping."""

    entities: dict[Entity, dict[str, Told]] = field(default_factory=dict)
    edges: dict[Edge, Told | None] = field(default_factory=dict)
    points: dict[PointKey, Point] = field(default_factory=dict)

    def take(self, message: Message) -> None:
        told = json.loads(
            message.value, parse_int=Decimal, parse_float=Decimal
        )  # no float, so no digit is lost
        match message.topic:
            case "entities-edges":
                self._take_edges(told, message.timestamp)
            case "entity-properties":
                entity = self._entity(told["entity_type"], told["entity_reference"])
                properties = self.entities[entity]
                name = told["field_name"]
                value = Told(instant(told["reference_date"]), jsonb_text(told["field_value"]))
                properties[name] = max(properties.get(name, value), value)
            case "temporal-data":
                self._take_point(told)

    def _entity(self, type_: str, reference: str) -> Entity:
        entity = Entity(type_, reference)
        self.entities.setdefault(entity, {})
        return entity

    def _take_edges(self, told: dict[str, Any], timestamp: int) -> None:
        left = self._entity(told["type"], told["reference"])
        at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=timestamp)
        for item in told.get("edges", []):
            right = self._entity(item["entity_type"], item["entity_reference"])
            edge = Edge(left, right, item["relation_type"])
            before = self.edges.setdefault(edge, None)
            if item.get("metadata") is not None:
                metadata = Told(at, jsonb_text(item["metadata"]))
                self.edges[edge] = max(before or metadata, metadata)

    def _take_point(self, told: dict[str, Any]) -> None:
        entity = self._entity(told["entity_type"], told["entity_reference"])
        at = instant(told["property_reference_date"])
        granularity = _ALIASES.get(told["property_granularity"], told["property_granularity"])
        start, period = _period(at, granularity)
        key = PointKey(entity, told["property_type"], granularity, start)
        point = Point(at, int(told.get("property_version", 0)), jsonb_text(told["property_value"]), period)
        self.points[key] = max(self.points.get(key, point), point)


def stored_of(messages: Iterable[Message]) -> Stored:
    stored = Stored()
    for message in messages:
        stored.take(message)
    return stored


_ALIASES = {
    "daily": "day",
    "weekly": "week",
    "monthly": "month",
    "quarterly": "quarter",
    "yearly": "year",
    "annual": "year",
}
_DATE = re.compile(r"(\d+)-(\d+)-(\d+)(?:[Tt ](\d+):(\d+):(\d+)(?:\.(\d+))?(?:[Zz]|([+-])(\d+):(\d+))?)?")


def instant(text: str) -> datetime:
    """The instant of an RFC 3339 date, in UTC; digits beyond microseconds do not count."""
    match = _DATE.fullmatch(text)
    assert match, text
    year, month, day, hour, minute, second, fraction, sign, hours, minutes = match.groups()
    local = datetime(
        int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0), tzinfo=UTC
    )
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    micros = timedelta(microseconds=int((fraction or "0").ljust(6, "0")[:6]))
    return local + micros + (offset if sign == "-" else -offset)


def _period(at: datetime, granularity: str) -> tuple[datetime, str]:
    """The start of the period in UTC, and its name."""
    day = at.date()
    match granularity:
        case "instant":
            return at, at.strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")
        case "day":
            start, name = day, str(day)
        case "week":
            # Ordinal 1 was a Monday. A week belongs to the year of its Thursday.
            start = date.fromordinal(day.toordinal() - (day.toordinal() - 1) % 7)
            thursday = start + timedelta(days=3)
            week = (thursday - date(thursday.year, 1, 1)).days // 7 + 1
            name = f"{thursday.year:04}-W{week:02}"
        case "month":
            start, name = date(day.year, day.month, 1), str(day)[:7]
        case "quarter":
            quarter = (day.month + 2) // 3
            start, name = date(day.year, 3 * quarter - 2, 1), f"{day.year:04}-Q{quarter}"
        case "year":
            start, name = date(day.year, 1, 1), f"{day.year:04}"
        case _:
            raise AssertionError(granularity)
    return datetime(start.year, start.month, start.day, tzinfo=UTC), name


_ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def jsonb_text(value: Any) -> str:
    """A JSON value (numbers as Decimal) as PostgreSQL prints the jsonb of it."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case Decimal():
            return _number(value)
        case str():
            return '"' + "".join(_ESCAPES.get(c, c if c >= " " else f"\\u{ord(c):04x}") for c in value) + '"'
        case list():
            return "[" + ", ".join(map(jsonb_text, value)) + "]"
        case dict():  # of a key told twice the last value is there
            keys = sorted(value, key=lambda key: (len(key.encode()), key))
            return "{" + ", ".join(f"{jsonb_text(key)}: {jsonb_text(value[key])}" for key in keys) + "}"
        case _:
            raise AssertionError(type(value))


def _number(number: Decimal) -> str:
    """All digits written out, zeros after the point kept, no exponent, no negative zero."""
    _, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    written = "".join(map(str, digits)) + "0" * max(exponent, 0)
    places = max(-exponent, 0)
    written = written.rjust(places + 1, "0")
    whole = written[: len(written) - places].lstrip("0") or "0"
    fraction = written[len(written) - places :]
    return ("-" if number < 0 else "") + whole + (f".{fraction}" if fraction else "")
