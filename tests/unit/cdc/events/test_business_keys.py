"""An event has one key of its record, wherever windows end."""

from itertools import combinations, pairwise

import pytest

from app.core.models import EntityKey
from cdc.events.business_keys import Continuity
from cdc.events.processor import CdcProcessor
from tests.unit.cdc import envelopes as e
from tests.unit.cdc.envelopes import FakeRecord
from tests.unit.cdc.fakes import FakeClock, FakeDeadLetters, FakeDirectory, FakeSink

UNKNOWN, KNOWN = e.entity(type="unknown"), e.entity()
ORGANISATION = {13: EntityKey("organization", "org-13")}
LIFE = [
    e.create("entities", UNKNOWN, lsn=1),
    e.create("edges", e.edge(), lsn=2),
    e.create("temporal_properties", e.point(), lsn=3),
    e.update("entities", UNKNOWN, KNOWN, lsn=4),
    e.update("temporal_properties", e.point(), e.point(value="2"), lsn=5),
    e.delete("edges", e.edge(), lsn=6),
    e.delete("temporal_properties", e.point(value="2"), lsn=7),
    e.delete("entities", KNOWN, lsn=8),
]
RECORDS = [FakeRecord(value=value, offset=number) for number, value in enumerate(LIFE)]
KEYS = ["unknown:u-7"] * 4 + ["user:u-7"] * 5
SPLITS = [cut for size in range(4) for cut in combinations(range(1, len(LIFE)), size)]


def windows(cuts: tuple[int, ...]) -> list[list[FakeRecord]]:
    bounds = [0, *cuts, len(RECORDS)]
    return [RECORDS[start:end] for start, end in pairwise(bounds)]


def processor(sink: FakeSink, directory: FakeDirectory) -> CdcProcessor:
    return CdcProcessor(directory=directory, events=sink, dead_letters=FakeDeadLetters(), clock=FakeClock())


def told(sink: FakeSink) -> list[tuple[str, str, bool]]:
    """Key, idempotency key, and whether anything was told of each event."""
    return [
        (event.key.decode(), body["event_idempotency_key"], bool(body["data"]["properties"]))
        for event, body in zip(sink.events, sink.bodies, strict=True)
    ]


@pytest.mark.parametrize("today", [None, KNOWN, UNKNOWN], ids=["gone", "renamed", "not yet"])
async def test_who_reads_on_names_as_it_was_wherever_windows_end(today: dict[str, str] | None) -> None:
    keys = dict(ORGANISATION)
    if today is not None:
        keys[7] = EntityKey(today["type"], today["reference"])
    seen = set()
    for cuts in SPLITS:
        sink = FakeSink()
        agent = processor(sink, FakeDirectory(keys))
        for window in windows(cuts):
            await agent.process(window)
        assert [key for key, _, _ in told(sink)] == KEYS, cuts
        seen.add(tuple(told(sink)))
    assert len(seen) == 1


async def test_who_begins_anywhere_names_as_it_was_or_tells_nothing() -> None:
    """By a worker of its own for each window, after the entity was deleted."""
    whole = FakeSink()
    await processor(whole, FakeDirectory(ORGANISATION)).process(RECORDS)
    right = {unique: (key, values) for key, unique, values in told(whole)}
    nameless = set()
    for cuts in SPLITS:
        sink = FakeSink()
        for window in windows(cuts):
            await processor(sink, FakeDirectory(ORGANISATION)).process(window)
        assert len(sink.events) == len(KEYS)
        for key, unique, values in told(sink):
            if key == "entity-7":
                assert not values
                nameless.add(unique)
            else:
                assert (key, values) == right[unique]
    assert 0 < len(nameless) < len(right), "an entity's own changes bear their names"


async def test_a_name_is_told_by_what_comes_later_in_the_window() -> None:
    sink = FakeSink()
    point = FakeRecord(value=e.create("temporal_properties", e.point()), offset=3)
    gone = FakeRecord(value=e.delete("entities", KNOWN), offset=4)
    await processor(sink, FakeDirectory({7: EntityKey("user", "later")})).process([point, gone])
    assert [event.key for event in sink.events] == [b"user:u-7"] * 2


async def test_after_somebody_else_has_read_a_placeholder_is_asked_for_again() -> None:
    directory = FakeDirectory({7: EntityKey("user", "u-7")} | ORGANISATION)
    sink = FakeSink()
    agent = processor(sink, directory)
    await agent.process([FakeRecord(value=LIFE[0], offset=0)])
    await agent.process([FakeRecord(value=LIFE[2], offset=1)])
    await agent.process([FakeRecord(value=LIFE[4], offset=9)])
    assert [event.key for event in sink.events] == [b"unknown:u-7", b"unknown:u-7", b"user:u-7"]


def test_windows_go_on_where_they_ended_or_before() -> None:
    continuity = Continuity()

    def window(*places: tuple[int, int]) -> bool:
        return continuity.goes_on(
            [FakeRecord(value=None, partition=partition, offset=offset) for partition, offset in places]
        )

    assert not window((0, 5), (0, 6))
    assert not window((0, 7), (1, 0)), "another partition"
    assert window((0, 8), (1, 1), (0, 9))
    assert window((0, 8), (1, 1), (0, 9)), "again"
    assert not window((0, 11))
