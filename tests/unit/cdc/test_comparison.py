"""Folding published events, and the events that make good what was missed."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from app.errors import InvalidError
from app.models import EntityKey
from app.ports import OutgoingEvent
from app.snapshot import EdgeNow, EntityNow, PointNow
from cdc.comparison import RECOVERED, Differences
from cdc.published import PublishedView, Relationship
from tests.unit.app.fakes import FakeRecord
from tests.unit.docs.published import SCHEMAS, examples

AT = datetime(2025, 1, 15, 10, 0, 0, 123456, tzinfo=UTC)
U1, U2, GONE = EntityKey("user", "u1"), EntityKey("user", "u2"), EntityKey("user", "gone")


class Reading:
    """A graph that a test holds in its hands."""

    position = 77
    at = AT

    def __init__(self) -> None:
        self.all_entities: list[EntityNow] = []
        self.all_edges: list[EdgeNow] = []
        self.all_points: list[PointNow] = []

    async def entities(self) -> AsyncIterator[EntityNow]:
        for row in self.all_entities:
            yield row

    async def edges(self) -> AsyncIterator[EdgeNow]:
        for row in self.all_edges:
            yield row

    async def points(self) -> AsyncIterator[PointNow]:
        for row in self.all_points:
            yield row


def entity(number: int, key: EntityKey, *, recent: bool = False) -> EntityNow:
    return EntityNow(id=number, key=key, properties='{"n": {"value": 1.0}}', recent=recent)


def edge(*, recent: bool = False) -> EdgeNow:
    return EdgeNow(
        id=5,
        left_id=1,
        right_id=2,
        left=U1,
        right=U2,
        relationship_type="knows",
        metadata=None,
        recent=recent,
    )


def point(month: str = "2025-01", *, recent: bool = False) -> PointNow:
    return PointNow(
        entity_id=1,
        entity=U1,
        key="tpv",
        granularity="month",
        period_start=f"{month}-01T00:00:00.000000Z",
        reference_date=f"{month}-05T00:00:00.000000Z",
        value="10.50",
        idempotency_key=f"1:tpv:month:{month}",
        recent=recent,
    )


async def differences(reading: Reading, *published: OutgoingEvent) -> list[tuple[str, OutgoingEvent]]:
    view = PublishedView()
    for event in published:
        view.add(FakeRecord(value=event.value, headers=event.headers, timestamp=event.timestamp_ms))
    return [found async for found in Differences(reading=reading, published=view.living()).events()]


def body(event: OutgoingEvent) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(event.value)
    return found


async def everything() -> tuple[Reading, list[tuple[str, OutgoingEvent]]]:
    reading = Reading()
    reading.all_entities = [entity(1, U1), entity(2, U2), entity(3, GONE)]
    reading.all_edges = [edge()]
    reading.all_points = [point(), point("2025-02")]
    return reading, await differences(reading)


async def test_what_was_never_published_is_told_with_all_that_it_holds() -> None:
    _, found = await everything()
    assert [kind for kind, _ in found] == [
        *["entity_created"] * 3,
        "relationship_created",
        *["temporal_data_created"] * 2,
    ]
    assert body(found[0][1])["data"]["properties"] == {"n": {"old": None, "new": {"value": 1.0}}}
    assert found[3][1].key == b"user:u1"
    assert body(found[3][1])["data"]["target_entity_reference"] == "u2"
    assert all(RECOVERED in event.headers for _, event in found)
    assert all(event.timestamp_ms == int(AT.timestamp() * 1000) for _, event in found)


async def test_what_was_published_and_is_the_same_is_not_told_again() -> None:
    reading, found = await everything()
    events = [event for _, event in found]
    assert await differences(reading, *events) == []
    reading.all_entities[0] = entity(1, U1, recent=True)
    reading.all_edges[0] = edge(recent=True)
    reading.all_points[0] = point(recent=True)
    again = await differences(reading, *events)
    assert [kind for kind, _ in again] == ["entity_created", "relationship_created", "temporal_data_created"]


async def test_what_was_published_and_is_gone_is_ended_entities_last() -> None:
    reading, found = await everything()
    reading.all_entities.pop()
    reading.all_edges.clear()
    reading.all_points.pop()
    ends = await differences(reading, *[event for _, event in found])
    assert [kind for kind, _ in ends] == ["relationship_deleted", "temporal_data_deleted", "entity_deleted"]
    edge_end, point_end, entity_end = [event for _, event in ends]
    assert body(edge_end)["data"]["properties"] == {"relationship_type": {"old": "knows", "new": None}}
    assert body(point_end)["data"]["properties"]["idempotency_key"]["old"] == "1:tpv:month:2025-02"
    assert point_end.key == b"user:u1"
    assert body(entity_end)["data"] == {"type": "user", "reference": "gone", "properties": {}}
    view = PublishedView()
    for _, event in [*found, *ends]:
        view.add(FakeRecord(value=event.value, headers=event.headers, timestamp=event.timestamp_ms))
    assert view.living() >= {U1, U2}
    assert GONE not in view.living()


async def test_each_event_keeps_to_its_schema_and_has_a_key_of_its_own() -> None:
    reading, found = await everything()
    reading.all_entities.clear()
    reading.all_edges.clear()
    reading.all_points.clear()
    ends = await differences(reading, *[event for _, event in found])
    assert len(ends) == len(found)
    for kind, event in [*found, *ends]:
        schema = json.loads((Path(SCHEMAS) / f"{kind}.json").read_text())
        jsonschema.validate(body(event), schema)
    keys = {body(event)["event_idempotency_key"] for _, event in [*found, *ends]}
    assert len(keys) == len(found) + len(ends)


async def test_a_replayed_old_event_does_not_undo_a_later_one() -> None:
    reading, found = await everything()
    reading.all_entities.pop()
    ends = [
        event
        for kind, event in await differences(reading, *[e for _, e in found])
        if kind == "entity_deleted"
    ]
    view = PublishedView()
    for event, at in ((ends[0], 2_000), (found[2][1], 1_000)):
        view.add(FakeRecord(value=event.value, headers=event.headers, timestamp=at))
    assert view.living() == set()


def test_the_events_of_the_documents_are_understood() -> None:
    view = PublishedView()
    events = examples()
    for kind in (
        "entity_created",
        "entity_properties_updated",
        "relationship_created",
        "temporal_data_created",
    ):
        event = events[kind]
        view.add(FakeRecord(value=event.value, headers=event.headers))
    user, organisation = EntityKey("user", "user_aqNSvRZ_74"), EntityKey("organization", "org-13")
    assert {user, Relationship(user, organisation, "member_of")} <= view.living()
    assert len(view.living()) == 3
    for kind in ("relationship_deleted", "temporal_data_deleted"):
        view.add(FakeRecord(value=events[kind].value, headers=events[kind].headers))
    assert view.living() == {user}


def test_what_is_no_event_is_refused_and_unknown_types_are_passed_over() -> None:
    view = PublishedView()
    with pytest.raises(InvalidError):
        view.add(FakeRecord(value=b"{}"))
    with pytest.raises(InvalidError):
        view.add(FakeRecord(value=b"[]", headers=[("event_type", b"entity_created")]))
    view.add(
        FakeRecord(value=b'{"data": {"reference": "x"}}', headers=[("event_type", b"entity_renamed_somehow")])
    )
    assert view.living() == set()
