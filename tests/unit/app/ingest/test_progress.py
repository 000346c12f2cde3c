import asyncio

import pytest

from app.core.records import Offsets, Partition
from app.ingest import progress
from app.ingest.progress import ProgressWatch
from app.ports.health import DependencyState
from tests.unit.app.fakes import FakeClock

A, B, C = Partition("a", 0), Partition("a", 1), Partition("b", 0)


class Rig:
    """A watch with a limit of 60 s, its clock, and the offsets that it is told."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.told: dict[Partition, Offsets] = {}
        self.watch = ProgressWatch(lambda: self.told, limit_s=60, clock=self.clock)

    def after(self, seconds: float, told: dict[Partition, Offsets] | None = None) -> None:
        """Let time pass, a sample at each second; then tell these offsets."""
        for _ in range(int(seconds)):
            self.clock.seconds += 1
            self.watch.observe()
        if told is not None:
            self.told = told
            self.watch.observe()

    async def state(self) -> DependencyState:
        (state,) = await self.watch.check()
        assert state.required
        return state

    async def ready(self) -> bool:
        return (await self.state()).ready


@pytest.fixture
def rig() -> Rig:
    return Rig()


async def test_a_partition_that_stands_still_is_told_by_name_and_time(rig: Rig) -> None:
    rig.after(0, {A: Offsets(40, 100), B: Offsets(7, 7)})
    rig.after(59)
    assert await rig.ready()
    rig.after(1)
    state = await rig.state()
    assert not state.ready
    assert (
        state.detail == "a partition 0 makes no progress for 60 s: it stands at offset 40, 60 before its end"
    )


async def test_the_one_that_waits_longest_is_named_and_the_others_counted(rig: Rig) -> None:
    rig.after(0, {A: Offsets(0, 1), B: Offsets(0, 1)})
    rig.after(5, {A: Offsets(0, 2), B: Offsets(0, 2), C: Offsets(0, 1)})
    rig.after(57)
    assert (await rig.state()).detail.endswith("; 1 more stands still")
    rig.after(3)
    assert (await rig.state()).detail.startswith("a partition 0 makes no progress for 65 s")
    assert (await rig.state()).detail.endswith("; 2 more stand still")


async def test_with_nothing_to_do_it_is_never_red(rig: Rig) -> None:
    assert await rig.ready()
    rig.after(0, {A: Offsets(40, 40)})
    rig.after(10_000)
    assert await rig.ready()


async def test_the_time_counts_from_when_there_was_something_to_do(rig: Rig) -> None:
    rig.after(0, {A: Offsets(40, 40)})
    rig.after(1_000, {A: Offsets(40, 41)})
    rig.after(59)
    assert await rig.ready()
    rig.after(1)
    assert not await rig.ready()


async def test_new_records_are_no_progress(rig: Rig) -> None:
    for end in range(41, 102):
        rig.after(1, {A: Offsets(40, end)})
    assert not await rig.ready()


@pytest.mark.parametrize("moved", [Offsets(41, 100), Offsets(100, 100)])
async def test_a_move_makes_it_green_again(rig: Rig, moved: Offsets) -> None:
    rig.after(0, {A: Offsets(40, 100)})
    rig.after(60)
    assert not await rig.ready()
    rig.after(0, {A: moved})
    rig.after(59)
    assert await rig.ready()


async def test_a_slow_partition_is_not_a_stalled_one(rig: Rig) -> None:
    for position in range(40, 60):
        rig.after(59, {A: Offsets(position, 1_000_000)})
        assert await rig.ready()


async def test_a_revoked_partition_is_not_told(rig: Rig) -> None:
    rig.after(0, {A: Offsets(40, 100)})
    rig.after(60, {})
    assert await rig.ready()


async def test_a_rebalance_shorter_than_the_limit_is_no_stall(rig: Rig) -> None:
    rig.after(0, {A: Offsets(40, 100)})
    rig.after(1, {})
    rig.after(50, {A: Offsets(40, 100)})
    assert await rig.ready()
    rig.after(1, {A: Offsets(60, 100)})
    rig.after(59)
    assert await rig.ready()


async def test_rebalances_in_a_row_hide_no_stall(rig: Rig) -> None:
    for _ in range(7):
        rig.after(5, {A: Offsets(40, 100)})
        rig.after(5, {})
    rig.after(0, {A: Offsets(40, 100)})
    assert not await rig.ready()


async def test_who_was_away_for_longer_than_the_limit_starts_anew(rig: Rig) -> None:
    rig.after(0, {A: Offsets(40, 100)})
    rig.after(1, {})
    rig.after(61, {A: Offsets(40, 100)})
    rig.after(59)
    assert await rig.ready()


async def test_it_samples_between_requests(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_SAMPLE_S", 0.001)
    rig.told = {A: Offsets(40, 100)}
    sampling = asyncio.create_task(rig.watch.run())
    await asyncio.sleep(0.02)
    rig.clock.seconds += 60
    assert not await rig.ready()
    sampling.cancel()
