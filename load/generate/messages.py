"""A world as messages of the three normalised topics. Pure; the same for the same seed."""

import random
import uuid
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta

import orjson

from app.core import dates
from load.generate import people
from load.generate.sending import Message
from load.generate.world import Fact, Node, Point, World

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIELDS_PER_NODE = 8  # at most; bounds how far an older statement lags behind the newer one


def entities_edges(data: World) -> Iterator[Message]:
    """One message for each entity, with all its relationships."""
    ids = people.stream(data.seed, "message-ids")
    for node in data.nodes():
        body = {
            "id": str(uuid.UUID(int=ids.getrandbits(128), version=4)),
            "reference": node.reference,
            "type": node.type,
            "edges": [
                {"entity_reference": link.reference, "entity_type": link.type, "relation_type": link.relation}
                for link in node.links
            ],
        }
        yield _message(node.type, node.reference, body, node.told_at)


def entity_properties(data: World, *, conflict_rate: float) -> Iterator[Message]:
    """One message for each field; that share of fields is told a second time, with an older date and later.

    What was told last is so not what holds: the newer reference date has to win.
    """
    rng = people.stream(data.seed, "conflicts")
    late: list[Message] = []
    for node in data.nodes():
        for fact in node.facts:
            yield statement(node.type, node.reference, fact)
            if rng.random() < conflict_rate:
                late.append(statement(node.type, node.reference, _older(fact, rng)))
        while len(late) > _FIELDS_PER_NODE:
            yield late.pop(rng.randrange(len(late)))
    yield from late


def count_properties(nodes: Iterable[Node]) -> int:
    """The number of fields: the messages of `entity_properties` at a conflict rate of 0."""
    return sum(len(node.facts) for node in nodes)


def temporal_data(data: World) -> Iterator[Message]:
    """One message for each point."""
    for point in data.points():
        yield _point(point)


def _older(fact: Fact, rng: random.Random) -> Fact:
    date = fact.date - timedelta(seconds=rng.randrange(1, 30 * 86_400))
    return Fact(fact.field, {"superseded": True, "told": dates.to_text(date)}, date)


def statement(kind: str, reference: str, fact: Fact) -> Message:
    """One field of an entity, for `entity-properties`."""
    body = {
        "entity_reference": reference,
        "entity_type": kind,
        "field_name": fact.field,
        "field_value": fact.value,
        "reference_date": dates.to_text(fact.date),
    }
    return _message(kind, reference, body, fact.date)


def _point(point: Point) -> Message:
    body = {
        "entity_reference": point.reference,
        "entity_type": point.type,
        "property_type": point.key,
        "property_value": orjson.Fragment(point.value),
        "property_reference_date": dates.to_text(point.date),
        "property_granularity": point.granularity,
    }
    return _message(point.type, point.reference, body, point.date)


def _message(kind: str, reference: str, body: Mapping[str, object], told_at: datetime) -> Message:
    timestamp_ms = (told_at - _EPOCH) // timedelta(milliseconds=1)
    return Message(f"{kind}:{reference}".encode(), orjson.dumps(body), timestamp_ms)
