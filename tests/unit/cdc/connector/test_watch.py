"""What is said of the slot and the connector, what is measured, and when a failed task is started again."""

import itertools
import logging
import math
from datetime import UTC, datetime

import pytest
from prometheus_client import REGISTRY

from app.core.errors import TransientError
from app.ports.capture import ConnectorPosition, ConnectorState, SlotState, TaskState
from cdc.connector.config import RECOVERY_KEY
from cdc.connector.watch import ConnectorWatch
from tests.unit.app.fakes import FakeClock

NOW_US = int(datetime(2025, 1, 15, tzinfo=UTC).timestamp() * 1e6)


def running(task: str = "RUNNING", cause: str = "") -> ConnectorState:
    return ConnectorState(state="RUNNING", tasks=(TaskState(number=0, state=task, cause=cause),))


def slot(wal_status: str = "reserved", confirmed: int | None = 900) -> SlotState:
    return SlotState(
        active=True,
        wal_status=wal_status,
        flushed=1000,
        confirmed=confirmed,
        lag_bytes=100,
        retained_bytes=None if wal_status == "lost" else 300,
        safe_bytes=5000,
    )


class Sides:
    """Plays PostgreSQL and Connect."""

    def __init__(self) -> None:
        self.slot: SlotState | None = slot()
        self.connector: ConnectorState | None = running()
        self.stored: ConnectorPosition | None = ConnectorPosition(lsn=950, committed_us=NOW_US - 4_000_000)
        self.settings: dict[str, str] = {}
        self.restarts = 0
        self.away = False

    async def state(self, name: str) -> ConnectorState | None:
        if self.away:
            raise TransientError("Kafka Connect does not answer.")
        return self.connector

    async def position(self, name: str) -> ConnectorPosition | None:
        return self.stored

    async def config(self, name: str) -> dict[str, str]:
        return self.settings

    async def restart(self, name: str, *, only_failed: bool = True) -> None:
        assert only_failed
        self.restarts += 1


class Slots:
    def __init__(self, sides: Sides) -> None:
        self._sides = sides

    async def state(self, name: str) -> SlotState | None:
        return self._sides.slot

    async def create(self, name: str) -> int:
        raise AssertionError

    async def drop(self, name: str) -> bool:
        raise AssertionError


@pytest.fixture
def sides() -> Sides:
    return Sides()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def watch_of(sides: Sides, clock: FakeClock, *, restart_failed: bool = True) -> ConnectorWatch:
    return ConnectorWatch(
        name="c",
        slot_name="s",
        slots=Slots(sides),
        connect=sides,
        clock=clock,
        interval_s=5,
        max_lag_s=60,
        restart_failed=restart_failed,
    )


def sample(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


async def test_all_is_well(sides: Sides, clock: FakeClock) -> None:
    watch = watch_of(sides, clock)
    await watch.watch()
    assert sample("profile_cdc_slot_lag_bytes") == 100
    assert sample("profile_cdc_slot_retained_bytes") == 300
    assert sample("profile_cdc_slot_safe_bytes") == 5000
    assert sample("profile_cdc_slot_status", status="reserved") == 1
    assert sample("profile_cdc_slot_status", status="lost") == 0
    assert sample("profile_cdc_connector_parts", part="task", state="running") == 1
    assert sample("profile_cdc_connector_lag_seconds") == 4
    lines = await watch.check()
    assert [(line.name, line.ready, line.required) for line in lines] == [
        ("replication-slot", True, False),
        ("connector", True, False),
    ]


@pytest.mark.parametrize(
    ("lsns", "confirmed", "is_fault"),
    [
        ((700, 950), 950, False),  # rows of a transaction that was open while the others committed
        ((960, 950), 950, False),  # within a transaction
        ((950, None), 950, False),  # before the first commit
        ((700, 950), 951, True),
        ((960, 950), 961, True),
        ((950, None), 951, True),
    ],
)
async def test_a_slot_is_compared_with_the_last_commit(
    sides: Sides, clock: FakeClock, lsns: tuple[int, int | None], confirmed: int, is_fault: bool
) -> None:
    lsn, commit_lsn = lsns
    sides.slot = slot(confirmed=confirmed)
    sides.stored = ConnectorPosition(lsn=lsn, committed_us=NOW_US - 4_000_000, commit_lsn=commit_lsn)
    line, _ = await watch_of(sides, clock).check()
    assert (not line.ready, "was made anew" in line.detail) == (is_fault, is_fault)


@pytest.mark.parametrize(
    ("change", "ready", "said"),
    [
        (
            {"slot": None},
            (False, True),
            "s is gone: changes since 2025-01-14T23:59:56Z may be missed; `python",
        ),
        ({"slot": slot("lost", None)}, (False, True), "s is lost, since it kept more WAL"),
        ({"slot": slot(confirmed=951)}, (False, True), "s was made anew"),
        ({"slot": slot("unreserved")}, (False, True), "about to be lost"),
        ({"settings": {RECOVERY_KEY: "everything"}}, (False, True), "not finished"),
        ({"connector": None, "slot": None, "stored": None}, (False, False), "no connector c: `python -m app"),
        (
            {"connector": running("FAILED", "why")},
            (True, False),
            "failed (why); `python -m app connector restart",
        ),
        (
            {"connector": running("FAILED", "why"), "slot": None},
            (False, False),
            "failed (why); `python -m app connector recover`",
        ),
        ({"connector": running("PAUSED")}, (True, False), "task 0 PAUSED; `python -m app connector resume`"),
        (
            {"stored": ConnectorPosition(lsn=950, committed_us=NOW_US - 61_000_000)},
            (True, False),
            "61 s behind",
        ),
    ],
)
async def test_what_is_wrong_is_named_with_its_way_out(
    sides: Sides, clock: FakeClock, change: dict[str, object], ready: tuple[bool, bool], said: str
) -> None:
    for name, value in change.items():
        setattr(sides, name, value)
    lines = await watch_of(sides, clock).check()
    assert tuple(line.ready for line in lines) == ready
    assert said in " ".join(line.detail for line in lines)


async def test_what_can_not_be_seen_has_no_sample(sides: Sides, clock: FakeClock) -> None:
    watch = watch_of(sides, clock)
    await watch.watch()
    sides.away = True
    await watch.watch()
    assert math.isnan(sample("profile_cdc_slot_lag_bytes") or 0)
    assert math.isnan(sample("profile_cdc_connector_lag_seconds") or 0)
    assert sample("profile_cdc_slot_status", status="reserved") is None
    assert sample("profile_cdc_connector_parts", part="task", state="running") is None
    (line,) = await watch.check()
    assert (line.ready, line.detail) == (False, "Kafka Connect does not answer.")


async def test_a_fault_is_logged_once_and_its_end_too(
    sides: Sides, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    watch = watch_of(sides, clock)
    sides.slot = None
    await watch.watch()
    sides.stored = ConnectorPosition(lsn=950, committed_us=NOW_US - 9_000_000)
    await watch.watch()
    sides.slot = slot()
    await watch.watch()
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]


async def test_a_failed_task_is_started_again_after_growing_pauses(sides: Sides, clock: FakeClock) -> None:
    watch = watch_of(sides, clock)
    sides.connector = running("FAILED", "why")
    restarts = []
    for _ in range(200):
        await watch.watch()
        restarts.append(sides.restarts)
        clock.seconds += 5
    at = [5 * restarts.index(count) for count in range(1, sides.restarts + 1)]
    assert at[:3] == [10, 35, 80], "10 s, 20 s, 40 s after it was seen to fail"
    assert max(b - a for a, b in itertools.pairwise(at)) <= 310

    sides.connector = running()
    for _ in range(80):
        await watch.watch()
        clock.seconds += 5
    before, sides.connector = sides.restarts, running("FAILED", "why")
    for _ in range(3):
        await watch.watch()
        clock.seconds += 5
    assert sides.restarts == before + 1, "after it ran for long the pauses begin anew"


@pytest.mark.parametrize("lost", [None, slot("lost", None), slot(confirmed=951)])
async def test_it_is_left_alone_where_changes_are_missing(
    sides: Sides, clock: FakeClock, lost: SlotState | None
) -> None:
    watch = watch_of(sides, clock)
    sides.connector, sides.slot = running("FAILED", "why"), lost
    for _ in range(20):
        await watch.watch()
        clock.seconds += 5
    assert sides.restarts == 0


async def test_it_is_left_alone_where_the_setting_says_so(sides: Sides, clock: FakeClock) -> None:
    watch = watch_of(sides, clock, restart_failed=False)
    sides.connector = running("FAILED", "why")
    for _ in range(20):
        await watch.watch()
        clock.seconds += 5
    assert sides.restarts == 0
