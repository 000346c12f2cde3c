"""Folding published events, and the events that make good what was missed."""

import dataclasses
import hashlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from app.core.erasure import Named
from app.core.errors import InvalidError
from app.core.models import EntityKey
from app.core.records import OutgoingEvent, PublishedNote
from app.core.snapshot import EdgeNow, EntityNow, PointNow
from cdc.envelope import EntityChange, EntityRow, Source, TemporalChange, TemporalRow
from cdc.events.events import events_of
from cdc.recovery.comparison import RECOVERED, Differences
from cdc.recovery.published_state import PublishedView, Relationship
from tests.unit.app.fakes import FakeRecord
from tests.unit.docs.published import SCHEMAS, examples

AT = datetime(2025, 1, 15, 10, 0, 0, 123456, tzinfo=UTC)
U1, U2, GONE = EntityKey("user", "u1"), EntityKey("user", "u2"), EntityKey("user", "gone")


class Reading:
    """A graph that a test holds in its hands."""

    position = 77

    def __init__(self) -> None:
        self.at = AT
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


class Register:
    """A ledger of erasures: ids, keys and dates."""

    def __init__(self) -> None:
        self.erased: list[tuple[int, EntityKey, datetime]] = []

    def erase(self, number: int, key: EntityKey, at: datetime) -> str:
        self.erased.append((number, key, at))
        return ledger_id(key)

    async def erased_among(self, named: Sequence[Named]) -> list[frozenset[str]]:
        return [
            frozenset(
                ledger_id(key)
                for number, key, at in self.erased
                if number in each.ids
                or (each.told_at <= at and (key in each.keys or key.reference in each.references))
            )
            for each in named
        ]

    async def unchecked(self) -> Mapping[str, datetime]:
        raise NotImplementedError

    async def note_letters(self, checked: Mapping[str, datetime], letters: Mapping[str, int]) -> None:
        raise NotImplementedError


def ledger_id(key: EntityKey) -> str:
    return hashlib.sha256(repr(key).encode()).hexdigest()


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


def view_of(published: Sequence[OutgoingEvent]) -> PublishedView:
    view = PublishedView()
    for event in published:
        view.add(FakeRecord(value=event.value, headers=event.headers, timestamp=event.timestamp_ms))
    return view


async def differences(
    reading: Reading, *published: OutgoingEvent, register: Register | None = None
) -> list[tuple[str, OutgoingEvent]]:
    view = view_of(published)
    found = Differences(
        reading=reading,
        published=view.living(),
        erasures=view.erasures,
        register=register or Register(),
    )
    return [each async for each in found.steps() if not isinstance(each, PublishedNote)]


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
    living = view_of([event for _, event in [*found, *ends]]).living()
    assert living.keys() >= {U1, U2}
    assert GONE not in living


SECRET = EntityKey("user", "secret-name")
LATER = AT + timedelta(hours=1)


async def told_of_a_secret() -> tuple[Reading, list[OutgoingEvent]]:
    """A reading without somebody, of whom everything was published: his edges on both sides, a point, himself."""
    reading = Reading()
    reading.all_entities = [entity(1, U1), entity(9, SECRET)]
    outgoing, incoming, own = edge(), edge(), point()
    reading.all_edges = [
        dataclasses.replace(outgoing, left_id=9, left=SECRET, right_id=1, right=U1),
        dataclasses.replace(incoming, right_id=9, right=SECRET),
    ]
    reading.all_points = [
        dataclasses.replace(own, entity_id=9, entity=SECRET, idempotency_key="9:tpv:month:2025-01")
    ]
    told = [event for _, event in await differences(reading)]
    assert len(told) == 5
    reading = Reading()
    reading.all_entities = [entity(1, U1)]
    reading.at = LATER + timedelta(hours=1)
    return reading, told


def said(events: Sequence[tuple[str, OutgoingEvent]]) -> bytes:
    return b"".join(e.key + e.value + b"".join(v for _, v in e.headers) for _, e in events)


async def test_an_erasure_that_was_missed_is_told_as_one_without_the_name() -> None:
    reading, told = await told_of_a_secret()
    register = Register()
    ledger = register.erase(9, SECRET, LATER)
    ends = await differences(reading, *told, register=register)
    assert [kind for kind, _ in ends] == [
        *["relationship_deleted"] * 2,
        "temporal_data_deleted",
        *["entity_deleted", "entity_erased"],
    ]
    assert b"secret" not in said(ends)
    bodies = [body(event)["data"] for _, event in ends]
    assert all(each["properties"] == {} for each in bodies)
    ours, his = sorted(bodies[:2], key=lambda each: "type" not in each)
    assert (ours["reference"], ours["target_entity_reference"]) == ("u1", "entity-9")
    assert (his["reference"], his["target_entity_reference"]) == ("entity-9", "u1")
    assert all(each["reference"] == "entity-9" for each in bodies[2:])
    assert bodies[-1]["ledger_id"] == ledger
    assert all(RECOVERED in event.headers for _, event in ends)
    assert ends[-1][1].partition_key == b"user:secret-name", "after all that was told of him"
    for kind, event in ends:
        jsonschema.validate(body(event), json.loads((Path(SCHEMAS) / f"{kind}.json").read_text()))
    assert len({body(event)["event_idempotency_key"] for _, event in ends}) == len(ends)

    again = [*told, *(event for _, event in ends)]
    assert await differences(reading, *again, register=register) == [], (
        "a second recovery has nothing to tell"
    )


async def test_nobody_can_guess_the_name_from_the_idempotency_key() -> None:
    reading, told = await told_of_a_secret()
    register = Register()
    register.erase(9, SECRET, LATER)
    source = Differences(reading=reading, published={}, erasures={}, register=register)._source("entities")
    ends = await differences(reading, *told, register=register)
    guess = f"{source.lsn}|0|{source.ts_us}|entities|{SECRET!r}|9|d"
    keys = {body(event)["event_idempotency_key"] for _, event in ends}
    assert hashlib.md5(guess.encode(), usedforsecurity=False).hexdigest() not in keys


async def test_an_erasure_that_was_published_is_not_told_again() -> None:
    reading, told = await told_of_a_secret()
    register = Register()
    subject = bytes.fromhex(register.erase(9, SECRET, LATER))
    at_us = int(LATER.timestamp()) * 1_000_000 + 250_000
    marked = EntityRow(9, "user", "secret-name", "{}", subject)
    source = Source("entities", 90, 900, at_us // 1_000, at_us)
    erasure = [event for _, event in events_of(EntityChange("d", source, marked, None), {})]
    of_the_point = events_of(
        TemporalChange("d", source, TemporalRow(9, "tpv", "month", "", "", "1", "9:tpv", True), None),
        {9: SECRET},
    )
    assert await differences(reading, *told, of_the_point[0][1], *erasure, register=register) == []


async def test_who_came_back_after_an_erasure_and_was_deleted_otherwise_is_named() -> None:
    reading, told = await told_of_a_secret()
    register = Register()
    register.erase(7, SECRET, AT - timedelta(days=1))  # another one, before
    ends = await differences(reading, *told, register=register)
    assert [kind for kind, _ in ends][-1] == "entity_deleted"
    assert body(ends[-1][1])["data"]["reference"] == "secret-name"
    assert dict(ends[-1][1].headers)["entity_id"] == b"9"


async def test_who_is_there_again_may_be_named() -> None:
    reading, told = await told_of_a_secret()
    register = Register()
    register.erase(9, SECRET, LATER)
    reading.all_entities.append(entity(12, SECRET, recent=True))
    found = await differences(reading, *told, register=register)
    assert [kind for kind, _ in found] == [
        *["entity_created", "relationship_deleted", "relationship_deleted", "temporal_data_deleted"],
    ]
    assert {body(event)["data"]["reference"] for _, event in found} == {"u1", "secret-name"}


async def test_a_placeholder_that_was_erased_under_its_type_is_not_named() -> None:
    reading = Reading()
    unknown = EntityKey("unknown", "secret-name")
    reading.all_entities = [entity(9, unknown)]
    told = [event for _, event in await differences(reading)]
    register = Register()
    register.erase(9, SECRET, LATER)
    reading.all_entities, reading.at = [], LATER + timedelta(hours=1)
    for number, ids in ((9, b"entity-9"), (10, b"entity-9")):  # by its id, and by its reference alone
        register.erased = [(number, SECRET, LATER)]
        ends = await differences(reading, *told, register=register)
        assert [kind for kind, _ in ends] == ["entity_deleted", "entity_erased"]
        assert b"secret" not in said(ends)
        assert ends[0][1].key == ids
    reading.all_entities = [entity(9, SECRET, recent=True)]
    named = await differences(reading, *told, register=register)
    assert [kind for kind, _ in named] == ["entity_created", "entity_deleted"], "it only got its type"


async def test_where_no_event_told_the_id_an_erasure_is_told_by_its_ledger_id_alone() -> None:
    reading, told = await told_of_a_secret()
    for event in told:
        event.headers[:] = [(name, value) for name, value in event.headers if name != "entity_id"]
    register = Register()
    ledger = register.erase(9, SECRET, LATER)
    ends = await differences(reading, *told, register=register)
    assert b"secret" not in said(ends)
    assert body(ends[-1][1])["data"] == {"reference": "entity-0", "ledger_id": ledger, "properties": {}}
    assert "entity_id" not in dict(ends[-1][1].headers)


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
    assert view.living() == {}


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
    assert {user, Relationship(user, organisation, "member_of")} <= view.living().keys()
    assert len(view.living()) == 3
    for kind in ("relationship_deleted", "temporal_data_deleted"):
        view.add(FakeRecord(value=events[kind].value, headers=events[kind].headers))
    assert view.living().keys() == {user}


def test_what_is_no_event_is_refused_and_unknown_types_are_passed_over() -> None:
    view = PublishedView()
    with pytest.raises(InvalidError):
        view.add(FakeRecord(value=b"{}"))
    with pytest.raises(InvalidError):
        view.add(FakeRecord(value=b"[]", headers=[("event_type", b"entity_created")]))
    view.add(
        FakeRecord(value=b'{"data": {"reference": "x"}}', headers=[("event_type", b"entity_renamed_somehow")])
    )
    assert view.living() == {}
