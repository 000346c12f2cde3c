"""The order of a recovery, what it remembers, and where it stops."""

from collections.abc import AsyncIterator, Container, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest

from app.config.settings import Settings
from app.core.errors import FatalError, TransientError
from app.core.records import OutgoingEvent, PublishedNote
from app.ports.capture import ConnectorPosition, ConnectorState, SlotState
from cdc.connector.config import RECOVERY_KEY
from cdc.envelope import EntityChange, EntityRow, Source
from cdc.events.events import events_of
from cdc.events.notes import entity_note, erasure_note
from cdc.recovery.recovery import MARGIN, Recovery
from tests.unit.app.fakes import FakeRecord
from tests.unit.cdc.recovery.test_comparison import GONE, U1, Reading, Register, entity

if TYPE_CHECKING:
    from cdc.connector.client import ConnectClient

AT = datetime(2025, 1, 15, tzinfo=UTC)


class World:
    """Connect, PostgreSQL, Redis and Kafka, which note what is asked of them."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.settings: dict[str, str] | None = {}
        self.stored: ConnectorPosition | None = ConnectorPosition(
            lsn=1, committed_us=int(AT.timestamp() * 1e6)
        )
        self.since: object = "not asked"
        self.unread = [3, 0]
        self.cache_takes = [False, True]
        self.publish_fails = False
        self.application = Settings()
        self.events: list[OutgoingEvent] = []
        self.notes: list[PublishedNote] = []
        self.complete_topics: set[str] = set()
        self.first_offset = 0  # of the events that are still there
        self.topics: dict[str, list[Any]] = {}

    # Connect
    async def state(self, name: str) -> ConnectorState | SlotState | None:
        return None if self.settings is None else ConnectorState(state="STOPPED", tasks=())

    async def config(self, name: str) -> dict[str, str] | None:
        return self.settings

    async def position(self, name: str) -> ConnectorPosition | None:
        return self.stored

    async def create_stopped(self, name: str, config: dict[str, str]) -> None:
        self.done.append(f"create stopped {config['snapshot.mode']}")
        self.settings = config

    async def stop(self, name: str) -> None:
        self.done.append("stop")

    async def wait_for(self, name: str, wanted: str) -> None:
        self.done.append(f"wait for {wanted}")

    async def apply(self, name: str, config: dict[str, str]) -> None:
        noted = "begun" if RECOVERY_KEY in config else "ended"
        self.done.append(f"apply {config['snapshot.mode']} {noted}")
        self.settings = config

    async def forget_position(self, name: str) -> None:
        self.done.append("forget position")
        self.stored = None

    async def resume(self, name: str) -> None:
        self.done.append("resume")
        self.stored = ConnectorPosition(lsn=9, committed_us=None)

    async def wait_running(self, name: str) -> None:
        self.done.append("runs")

    async def register(self, name: str, config: dict[str, str]) -> None:
        await self.apply(name, config)
        await self.wait_running(name)

    # PostgreSQL
    async def drop(self, name: str) -> bool:
        self.done.append("drop slot")
        return True

    async def create(self, name: str) -> int:
        self.done.append("create slot")
        return 5

    @asynccontextmanager
    async def open(self, *, since: datetime | None) -> AsyncIterator[Reading]:
        self.done.append("read database")
        self.since = since
        reading = Reading()
        reading.all_entities = [entity(1, U1)]
        yield reading

    # Redis, Kafka
    async def drop_caches(self) -> bool:
        self.done.append("drop caches")
        return self.cache_takes.pop(0) if self.cache_takes else True

    async def publish(self, events: Sequence[OutgoingEvent], notes: Sequence[PublishedNote] = ()) -> None:
        self.done.append("publish")
        if self.publish_fails:
            raise TransientError("Kafka is away.")
        self.events += events
        self.notes += notes

    async def complete(self, topic: str) -> bool:
        return topic in self.complete_topics

    async def note_complete(self, topic: str) -> None:
        self.done.append("notes are complete")
        self.complete_topics.add(topic)

    def recovery(self, wait_s: float = 5.0) -> Recovery:
        return Recovery(
            settings=self.application,
            connect=cast("ConnectClient", self),
            slots=self,
            snapshots=self,
            erasures=Register(),
            notes=self,
            drop_caches=self.drop_caches,
            events=self,
            wait_s=wait_s,
        )


GROUPS = [  # of the CDC topic's readers
    "user-profile",
    "user-profile-cdc-web",
    "user-profile-audit",
    "user-profile-cdc-audit",
    "user-profile-web",
    "user-profile-cdc-cache-repeater",
    "user-profile-cache-repeater",
]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()

    async def unread(brokers: list[str], topic: str, groups: Container[str]) -> int:
        assert {group for group in GROUPS if group in groups} == {"user-profile", "user-profile-cdc-web"}
        made.done.append("ask readers")
        return made.unread.pop(0) if made.unread else 0

    async def read_to_end(
        brokers: list[str], topic: str, *, after: Mapping[int, int] | None = None
    ) -> AsyncIterator[list[Any]]:
        made.done.append(f"read {'notes' if after is None else 'events'}")
        yield made.topics.get(topic, [])

    async def bounds(brokers: list[str], topic: str) -> dict[int, tuple[int, int]]:
        return {0: (made.first_offset, 100)}

    monkeypatch.setattr("cdc.recovery.recovery.unread", unread)
    monkeypatch.setattr("cdc.recovery.known.read_to_end", read_to_end)
    monkeypatch.setattr("cdc.recovery.known.bounds", bounds)
    monkeypatch.setattr("cdc.recovery.recovery._POLL_S", 0.001)
    return made


async def test_the_slot_is_made_before_anything_is_compared_and_read_after_all(world: World) -> None:
    published = await world.recovery().run()
    assert world.done == [
        *["stop", "wait for STOPPED", "apply no_data begun"],
        *["ask readers", "ask readers"],
        *["drop slot", "forget position", "create slot"],
        *["drop caches", "drop caches"],
        *["read notes", "read events", "read database", "publish", "notes are complete"],
        *["apply no_data begun", "resume", "runs"],
        *["apply no_data ended", "runs"],
    ]
    assert published == {"entity_created": 1}
    assert world.since == AT - MARGIN


async def test_a_snapshot_that_is_asked_for_is_not_taken_before_the_recovery_ends(world: World) -> None:
    """Whoever resumed the connector in between would publish all tables, and miss what an interruption skips."""
    world.application = Settings(cdc_publish_snapshot=True)
    world.settings = None
    await world.recovery().run()
    modes = [step for step in world.done if step.startswith(("create", "apply")) and "slot" not in step]
    assert modes == [
        *["create stopped no_data", "apply no_data begun", "apply no_data begun"],
        "apply initial ended",
    ]


async def test_a_connector_that_was_removed_still_tells_since_when(world: World) -> None:
    world.settings = None
    await world.recovery().run()
    assert world.since == AT - MARGIN


async def test_a_connector_that_is_gone_is_made_and_everything_told_where_no_position_is_known(
    world: World,
) -> None:
    world.settings, world.stored = None, None
    await world.recovery().run()
    assert world.done[0] == "create stopped no_data"
    assert world.since is None


async def test_a_second_attempt_remembers_since_when_changes_are_missing(world: World) -> None:
    world.publish_fails = True
    with pytest.raises(TransientError):
        await world.recovery().run()
    assert "resume" not in world.done
    assert world.stored is None, "the position is forgotten"
    world.publish_fails = False
    await world.recovery().run()
    assert world.since == AT - MARGIN


async def test_who_runs_it_may_say_since_when(world: World) -> None:
    since = AT - timedelta(days=3)
    await world.recovery().run(since=since)
    assert world.since == since
    await world.recovery().run(everything=True)
    assert world.since is None


async def test_nothing_is_dropped_before_all_that_was_captured_is_published(world: World) -> None:
    world.unread = [7] * 1_000
    with pytest.raises(
        FatalError, match=r"7 changes of .* are not published yet: let a worker with the role cdc"
    ):
        await world.recovery(wait_s=0.05).run()
    assert "drop slot" not in world.done


async def test_what_the_events_no_longer_tell_the_notes_do(world: World) -> None:
    """The first event left its topic; a thing that the notes name and the database lacks is ended, and forgotten."""
    world.first_offset = 40
    topic = world.application.topics.published
    world.complete_topics.add(topic)
    there, gone = entity_note(1, U1, 1_000), entity_note(2, GONE, 1_000)
    erased = erasure_note("ab" * 32, 2_000)
    world.topics[topic] = [FakeRecord(key=note.key, value=note.value) for note in (there, gone, erased)]
    published = await world.recovery().run(since=AT)
    assert published == {"entity_deleted": 1}
    assert world.events[0].key == b"user:gone"
    assert world.notes == [(b"entity/2", None)], "what is noted already is left alone"


async def test_a_later_event_counts_more_than_a_note(world: World) -> None:
    """A worker of the version before, which keeps no notes, published for a while."""
    topics = world.application.topics
    world.topics[topics.published] = [FakeRecord(key=b"entity/2", value=entity_note(2, GONE, 1_000).value)]
    row = EntityRow(2, GONE.type, GONE.reference, "{}")
    ((_, ended),) = events_of(EntityChange("d", Source("entities", 1, 1, 2_000, 2_000_000), row, None), {})
    told = FakeRecord(value=ended.value, headers=ended.headers, timestamp=ended.timestamp_ms)
    world.topics[topics.domain_events] = [told]
    assert await world.recovery().run(since=AT) == {"entity_created": 1}
    assert (b"entity/2", None) in world.notes


async def test_events_that_ended_unnoted_are_no_ground_for_a_comparison(world: World) -> None:
    world.first_offset = 1
    with pytest.raises(FatalError, match="recover --everything"):
        await world.recovery().run()
    assert "resume" not in world.done
    assert world.events == []
    await world.recovery().run(everything=True)
    assert world.application.topics.published in world.complete_topics
    assert [note.key for note in world.notes] == [b"entity/1"]
