import base64
import json
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from prometheus_client import REGISTRY

from app.core.errors import FatalError, TransientError
from app.core.models import EntityKey
from app.dead_letters.policy import DeadLetterPolicy
from cdc.events.processor import CdcProcessor
from tests.unit.cdc import envelopes as e
from tests.unit.cdc.envelopes import FakeRecord
from tests.unit.cdc.fakes import FakeClock, FakeCommitLog, FakeDeadLetters, FakeDirectory, FakeHooks, FakeSink


class Agent:
    """A processor on fakes."""

    def __init__(self, *, keys: dict[int, EntityKey] | None = None, failures: int = 0, **more: Any) -> None:
        self.directory = FakeDirectory(keys)
        self.sink = FakeSink(failures=failures)
        self.dead = FakeDeadLetters()
        self.processor = CdcProcessor(
            directory=self.directory, events=self.sink, dead_letters=self.dead, clock=FakeClock(), **more
        )

    async def process(self, *values: bytes | None) -> None:
        await self.processor.process([FakeRecord(value=v, offset=n) for n, v in enumerate(values)])


async def test_a_bad_record_is_dead_lettered_and_its_neighbours_are_published_in_order() -> None:
    agent = Agent()
    await agent.process(
        e.create("entities", e.entity(id=1, reference="a")),
        b"not json",
        e.create("entities", e.entity(id=2, reference="b", properties="[]")),
        e.create("entities", e.entity(id=3, reference="c")),
    )
    assert [body["data"]["reference"] for body in agent.sink.bodies] == ["a", "c"]
    assert [(letter.offset, letter.value is not None, letter.error) for letter in agent.dead.letters] == [
        (1, True, "malformed-envelope"),
        (2, True, "malformed-jsonb"),
    ]
    assert agent.dead.letters[0].value == b"not json"


async def test_interleaved_entities_keep_the_order_of_their_commits() -> None:
    agent = Agent()
    rows = {n: [f'{{"n": {version}}}' for version in range(40)] for n in (1, 2, 3)}
    values = []
    for version in range(1, 40):
        for n, texts in rows.items():
            before, after = (
                e.entity(id=n, reference=str(n), properties=text) for text in texts[version - 1 : version + 1]
            )
            values.append(e.update("entities", before, after, lsn=version * 10 + n))
    await agent.process(*values)
    for n in rows:
        mine = [body["data"] for body in agent.sink.bodies if body["data"]["reference"] == str(n)]
        assert [data["properties"]["n"]["new"] for data in mine] == list(range(1, 40))


async def test_windows_larger_than_a_slice_lose_nothing() -> None:
    agent = Agent()
    await agent.process(*(e.create("entities", e.entity(id=n, reference=str(n))) for n in range(1001)))
    assert [body["data"]["reference"] for body in agent.sink.bodies] == [str(n) for n in range(1001)]


async def test_ids_become_keys_with_one_query_for_what_the_stream_did_not_tell() -> None:
    agent = Agent(keys={13: EntityKey("organization", "org-13")})
    await agent.process(
        e.create("edges", e.edge()),
        e.create("entities", e.entity()),
        e.create("temporal_properties", e.point(entity_id=13)),
    )
    assert agent.directory.asked == [[13]]
    edge, _, point = (body["data"] for body in agent.sink.bodies)
    assert (edge["reference"], edge["target_entity_reference"]) == ("u-7", "org-13")
    assert point["type"] == "organization"


class HiddenUntilVisible(FakeCommitLog):
    """A commit that is decoded before the directory sees it."""

    def __init__(self, directory: FakeDirectory, key: EntityKey) -> None:
        super().__init__()
        self.directory, self.key = directory, key

    async def visible_position(self, xids: Sequence[int], *, timeout_s: float) -> int:
        self.directory.keys[13] = self.key
        return await super().visible_position(xids, timeout_s=timeout_s)


async def test_who_is_not_visible_yet_is_not_taken_for_gone() -> None:
    agent = Agent(keys={7: EntityKey("user", "u-7")})
    log = HiddenUntilVisible(agent.directory, EntityKey("organization", "org-13"))
    agent.processor._commit_log = log
    await agent.process(
        e.create("edges", e.edge(), tx_id=21), e.create("temporal_properties", e.point(), tx_id=22)
    )
    assert agent.sink.bodies[0]["data"]["target_entity_reference"] == "org-13"
    assert log.asked == [[21]]
    assert agent.directory.asked == [[7, 13], [13]]


async def test_whoever_is_known_is_not_waited_for() -> None:
    log = FakeCommitLog()
    await Agent(commit_log=log).process(
        e.create("entities", e.entity()), e.delete("temporal_properties", e.point())
    )
    assert log.asked == []


async def test_a_deleted_entity_names_the_rows_that_went_with_it() -> None:
    agent = Agent()
    await agent.process(e.delete("entities", e.entity()), e.delete("temporal_properties", e.point()))
    assert agent.sink.bodies[1]["data"]["reference"] == "u-7"
    assert agent.sink.kinds == ["entity_deleted", "temporal_data_deleted"]


async def test_what_speaks_of_no_change_is_passed_over() -> None:
    agent = Agent()
    await agent.process(
        None,
        e.envelope("entities", "t", None, None),
        e.update("entities", e.entity(updated_at="a"), e.entity(updated_at="b")),
    )
    assert agent.sink.events == []
    assert agent.dead.letters == []


@pytest.mark.parametrize(("wanted", "expected"), [(False, []), (True, ["entity_created"])])
async def test_snapshot_reads_are_published_only_on_demand(wanted: bool, expected: list[str]) -> None:
    agent = Agent(publish_snapshot=wanted)
    await agent.process(e.captured("entity-snapshot"))
    assert agent.sink.kinds == expected


async def test_a_snapshot_that_is_not_published_still_names_entities() -> None:
    agent = Agent()
    await agent.process(
        e.envelope("entities", "r", None, e.entity(id=7)),
        e.envelope("entities", "r", None, e.entity(id=13, reference="o")),
        e.create("edges", e.edge()),
    )
    assert agent.directory.asked == []


async def test_a_broker_that_is_away_is_an_error_and_the_same_window_gives_the_same_events() -> None:
    agent = Agent(failures=1)
    value = e.create("entities", e.entity())
    with pytest.raises(TransientError):
        await agent.process(value)
    await agent.process(value)
    await agent.process(value)
    first, second = agent.sink.events
    assert first == second


async def test_too_many_dead_letters_stop_after_all_of_them_are_in_their_topic() -> None:
    agent = Agent(policy=DeadLetterPolicy(max_ratio=0.5, min_records=100, max_run=2))
    good = e.create("entities", e.entity())
    await agent.process(b"bad", good)
    with pytest.raises(FatalError, match="no Debezium envelope"):
        await agent.process(good, b"bad", b"bad")
    assert len(agent.dead.letters) == 3
    assert len(agent.sink.events) == 2


async def test_a_window_that_comes_again_is_judged_once() -> None:
    agent = Agent(policy=DeadLetterPolicy(max_ratio=0.5, min_records=100, max_run=2), failures=3)
    values = (e.create("entities", e.entity()), b"bad")
    for _ in range(3):
        with pytest.raises(TransientError):
            await agent.process(*values)
    await agent.process(*values)


async def test_it_counts_what_became_of_each_record() -> None:
    def sample(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(name, labels) or 0.0

    def counts() -> list[float]:
        return [
            sample("profile_cdc_events_total", type="entity_created"),
            sample("profile_cdc_skipped_total", reason="tombstone"),
            sample("profile_dead_letters_total", topic=FakeRecord.topic, error="malformed-envelope"),
        ]

    before = counts()
    await Agent().process(None, b"bad", e.create("entities", e.entity()), e.create("entities", e.entity()))
    assert [now - then for now, then in zip(counts(), before, strict=True)] == [2, 1, 1]
    assert sample("profile_cdc_lag_seconds") == pytest.approx(2.155)


async def test_an_event_that_the_broker_would_refuse_is_a_dead_letter() -> None:
    agent = Agent(max_event_bytes=1000)
    long = json.dumps({"bio": "x" * 1000})
    await agent.process(e.create("entities", e.entity(properties=long)), e.create("entities", e.entity()))
    assert [letter.error for letter in agent.dead.letters] == ["event-too-large"]
    assert len(agent.sink.events) == 1


async def test_a_worker_can_be_killed_before_it_publishes() -> None:
    agent = Agent()
    hooks = FakeHooks(lambda: (len(agent.sink.events), len(agent.dead.letters)))
    agent.processor._hooks = hooks
    await agent.process(e.create("entities", e.entity()), b"bad")
    assert hooks.reached == [("before-publish", (0, 0))]
    assert len(agent.sink.events) == len(agent.dead.letters) == 1


class Fence:
    """Who is erased, and in which order it was asked."""

    def __init__(self, agent: "Agent", *erased: int) -> None:
        self.sink = agent.sink
        self.erased = frozenset(erased)
        self.steps: list[object] = []

    @asynccontextmanager
    async def publishing(self, ids: Collection[int]) -> AsyncIterator[frozenset[int]]:
        self.steps.append(sorted(ids))
        before = len(self.sink.bodies)
        yield self.erased.intersection(ids)
        self.steps.append(len(self.sink.bodies) - before)

    async def wait_for_publishers(self) -> None:
        self.steps.append("waited")


def fenced(*erased: int, **more: Any) -> tuple[Agent, Fence]:
    agent = Agent(keys={13: EntityKey("organization", "org-13"), 7: EntityKey("user", "u-7")}, **more)
    fence = Fence(agent, *erased)
    agent.processor._fence = fence
    return agent, fence


@pytest.mark.parametrize("operation", ["create", "update", "delete"])
async def test_a_target_that_is_erased_by_now_is_not_named(operation: str) -> None:
    """Its own partition may have told the erasure already, while that of the source lags."""
    agent, fence = fenced(13)
    before, after = e.edge(metadata='{"role": "a"}'), e.edge(metadata='{"role": "b"}')
    match operation:
        case "create":
            value = e.create("edges", after)
        case "update":
            value = e.update("edges", before, after)
        case _:
            value = e.delete("edges", before)
    await agent.process(value)
    (data,) = (body["data"] for body in agent.sink.bodies)
    assert (data["reference"], data["target_entity_reference"]) == ("u-7", "entity-13")
    assert "target_entity_type" not in data
    assert data["properties"] == {}
    assert fence.steps == [[7, 13], 1], "it is published while it is asked"


async def test_others_of_the_window_are_named() -> None:
    agent, fence = fenced(13)
    await agent.process(
        e.create("edges", e.edge()),
        e.create("edges", e.edge(left=13, right=7)),
        e.create("entities", e.entity(id=21, reference="b")),
    )
    told = [body["data"]["reference"] for body in agent.sink.bodies]
    assert told == ["u-7", "org-13", "b"], "a source is told in its own partition, which is in order"
    assert fence.steps[0] == [7, 13, 21]


async def test_an_erasure_is_published_after_those_who_did_not_know_of_it() -> None:
    log = FakeCommitLog()
    agent, fence = fenced(commit_log=log)
    erased = e.entity(id=21, reference="b") | {"erased_as": base64.b64encode(bytes(32)).decode()}
    await agent.process(e.delete("entities", erased, tx_id=77))
    assert fence.steps == ["waited", [21], 2]
    assert agent.sink.bodies[-1]["data"]["reference"] == "entity-21"
    assert log.asked == [[77]], "its commit is visible before"


HIDDEN = e.entity(
    type="",
    reference="entity-7",
    erased_as=base64.b64encode(bytes(32)).decode(),
    erased_type="user",
    erased_reference="u-7",
)


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_deletion_in_pieces_stands_in_one_partition_and_the_erasure_comes_last(
    *, restarted: bool
) -> None:
    """A publisher that begins in the middle has the name from the directory, which knows it until the last piece."""
    agent, fence = fenced(7, 13)
    windows = [
        [e.update("entities", e.entity(properties='{"a": {"value": "secret"}}'), HIDDEN)],
        [e.delete("edges", e.edge(number=1, erased_entity_id=7))],
        [e.delete("edges", e.edge(number=2, right=9, left=7, erased_entity_id=7))],
        [e.delete("entities", HIDDEN)],
    ]
    for number, window in enumerate(windows):
        if restarted:
            agent.processor = CdcProcessor(
                directory=agent.directory, events=agent.sink, dead_letters=agent.dead, clock=FakeClock()
            )
            agent.processor._fence = fence
            if number == 3:
                agent.directory.keys.pop(7)
        await agent.process(*window)
    kinds = [dict(event.headers)["event_type"].decode() for event in agent.sink.events]
    assert kinds == ["relationship_deleted", "relationship_deleted", "entity_deleted", "entity_erased"]
    assert {event.key for event in agent.sink.events} == {b"entity-7"}
    assert {event.partition_key for event in agent.sink.events} == {b"user:u-7"}
    assert not any(b"u-7" in event.value or b"secret" in event.value for event in agent.sink.events)


async def test_a_window_without_erasures_waits_for_nobody() -> None:
    agent, fence = fenced()
    await agent.process(e.create("edges", e.edge()))
    assert "waited" not in fence.steps


async def test_notes_say_what_consumers_know_and_hold_no_values() -> None:
    agent, _ = fenced()
    point = e.point()
    await agent.process(
        e.create("entities", e.entity(properties='{"secret": {"value": 42}}')),
        e.create("edges", e.edge(metadata='{"role": "owner"}')),
        e.create("temporal_properties", point),
        e.create("entities", e.entity(id=21, reference="b")),
        e.delete("entities", e.entity(id=21, reference="b")),
    )
    user = {"at": 1_758_578_807_845, "type": "user", "reference": "u-7"}
    assert agent.sink.notes == {
        "entity/7": user,
        "relationship/7/13/member_of": user
        | {"target_type": "organization", "target_reference": "org-13", "key": "member_of"},
        "point/7:tpv:month:2025-10": user
        | {"key": "tpv", "granularity": "month", "date": "2025-10-05T14:59:59Z"},
    }
    await agent.process(
        e.update("entities", e.entity(), e.entity(reference="renamed")),
        e.update("edges", e.edge(), e.edge(removed_at="2025-10-05T14:59:59.000000Z")),
        e.delete("temporal_properties", point),
    )
    assert agent.sink.notes == {"entity/7": user | {"reference": "renamed"}}


async def test_a_change_of_values_alone_makes_no_note() -> None:
    agent, _ = fenced()
    await agent.process(
        e.update("entities", e.entity(), e.entity(properties='{"n": {"value": 1}}')),
        e.update("edges", e.edge(), e.edge(metadata='{"role": "a"}')),
        e.update("temporal_properties", e.point(), e.point(value="2")),
    )
    assert len(agent.sink.events) == 3
    assert agent.sink.notes == {}


async def test_an_erasure_leaves_a_hash_and_nobody_who_is_erased_by_now_gets_a_note() -> None:
    """A process that lost its partition may be late with a window that was published by another one since."""
    agent, _ = fenced(7)
    await agent.process(
        e.create("entities", e.entity()),
        e.create("edges", e.edge()),
        e.create("edges", e.edge(left=13, right=7)),
        e.create("temporal_properties", e.point()),
    )
    assert agent.sink.notes == {}
    agent, _ = fenced()
    await agent.process(e.create("entities", e.entity()), e.create("edges", e.edge(left=13, right=7)))
    assert set(agent.sink.notes) == {"entity/7", "relationship/13/7/member_of"}
    erased = {"erased_as": base64.b64encode(bytes(range(32))).decode()}
    await agent.process(
        e.delete("edges", e.edge(left=13, right=7) | {"erased_entity_id": 7}),
        e.delete("entities", e.entity() | erased),
    )
    assert agent.sink.notes == {f"erasure/{bytes(range(32)).hex()}": {"at": 1_758_578_807_845}}
