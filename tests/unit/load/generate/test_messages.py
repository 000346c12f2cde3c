"""The messages of the normalised topics."""

from collections import defaultdict
from datetime import UTC, datetime

import orjson
import pytest

from app.core import dates
from load.generate import messages
from load.generate.sending import Message
from load.generate.world import World

WORLD = World(seed=3, users=200, months=2, until=datetime(2026, 3, 1, tzinfo=UTC))


def bodies(sent: list[Message]) -> list[dict[str, object]]:
    return [orjson.loads(message.value) for message in sent]


def test_the_same_seed_gives_the_same_bytes() -> None:
    for make in (
        messages.entities_edges,
        messages.temporal_data,
        lambda world: messages.entity_properties(world, conflict_rate=0.3),
    ):
        assert list(make(WORLD)) == list(make(WORLD))


def test_messages_are_keyed_by_type_and_reference() -> None:
    for message in messages.entities_edges(WORLD):
        body = orjson.loads(message.value)
        assert message.key.decode() == f"{body['type']}:{body['reference']}"
        assert set(body) == {"id", "reference", "type", "edges"}
    for message in messages.temporal_data(WORLD):
        body = orjson.loads(message.value)
        assert message.key.decode() == f"{body['entity_type']}:{body['entity_reference']}"


def test_the_timestamp_is_the_events_time() -> None:
    for message in messages.entity_properties(WORLD, conflict_rate=0.5):
        told = dates.parse(orjson.loads(message.value)["reference_date"], field="reference_date")
        assert dates.from_epoch_ms(message.timestamp_ms) == told.replace(
            microsecond=told.microsecond // 1000 * 1000
        )


@pytest.mark.parametrize("rate", [0.0, 0.25, 1.0])
def test_the_conflict_rate_is_kept_and_conflicts_are_older_and_later(rate: float) -> None:
    told = defaultdict(list)
    sent = list(messages.entity_properties(WORLD, conflict_rate=rate))
    for body in bodies(sent):
        told[body["entity_reference"], body["field_name"]].append(body)
    fields = messages.count_properties(WORLD.nodes())
    assert len(told) == fields
    twice = [statements for statements in told.values() if len(statements) > 1]
    assert len(sent) == fields + len(twice)
    assert len(twice) / fields == pytest.approx(rate, abs=0.03)
    for first, second in twice:
        assert str(second["reference_date"]) < str(first["reference_date"])
        assert second["field_value"] != first["field_value"]


def test_conflicts_are_not_told_right_after_what_they_contradict() -> None:
    sent = bodies(list(messages.entity_properties(WORLD, conflict_rate=0.2)))
    at = {(b["entity_reference"], b["field_name"]): i for i, b in reversed(list(enumerate(sent)))}
    lags = [i - at[b["entity_reference"], b["field_name"]] for i, b in enumerate(sent)]
    late = [lag for lag in lags if lag]
    assert sum(late) / len(late) > 5


def test_amounts_keep_their_digits() -> None:
    points = {(p.reference, p.key, dates.to_text(p.date)): p.value for p in WORLD.points()}
    for message in messages.temporal_data(WORLD):
        body = orjson.loads(message.value)
        value = points[body["entity_reference"], body["property_type"], body["property_reference_date"]]
        assert b'"property_value":' + value.encode() + b"," in message.value
        assert body["property_granularity"] == "month"
