"""Clocks that differ, and questions that only take long."""

import logging
import math
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import REGISTRY

from app.worker.clock_watch import ClockWatch

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Server:
    """Its clock is so far off, and it takes so long to say so."""

    def __init__(
        self, clock: "Clock", *, off_s: float = 0.0, takes_s: float = 0.0, known: bool = True
    ) -> None:
        self.clock, self.off_s, self.takes_s, self.known = clock, off_s, takes_s, known

    async def now(self) -> datetime | None:
        self.clock.seconds += self.takes_s / 2
        told = self.clock.now() + timedelta(seconds=self.off_s)
        self.clock.seconds += self.takes_s / 2
        return told if self.known else None


class Clock:
    seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.seconds)

    def epoch_s(self) -> float:
        return self.now().timestamp()


async def told(postgresql: Server, kafka: Server) -> tuple[bool, str]:
    watch = ClockWatch({"postgresql": postgresql.now, "kafka": kafka.now}, postgresql.clock)
    await watch.measure()
    (state,) = await watch.check()
    assert (state.name, state.required) == ("clocks", False)
    return state.ready, state.detail


@pytest.mark.parametrize(
    ("postgresql", "kafka", "detail"),
    [
        (1.5, 0.0, "the clock of postgresql is +1.5 s off that of this worker"),
        (0.0, -2.0, "the clock of kafka is -2.0 s off that of this worker"),
        (0.8, -0.8, "the clock of kafka is -1.6 s off that of postgresql"),
    ],
)
async def test_clocks_that_differ_by_more_than_a_second_are_told(
    postgresql: float, kafka: float, detail: str, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    with caplog.at_level(logging.WARNING):
        ready, found = await told(Server(clock, off_s=postgresql), Server(clock, off_s=kafka))
    assert not ready
    assert detail in found
    assert [record.event for record in caplog.records] == ["clock.off"]
    assert REGISTRY.get_sample_value("profile_clock_offset_seconds", {"server": "kafka"}) == pytest.approx(
        kafka
    )


async def test_a_slow_answer_is_no_difference() -> None:
    clock = Clock()
    assert (await told(Server(clock, takes_s=9.0), Server(clock, takes_s=5.0, off_s=2.0)))[0]


async def test_what_is_not_known_is_not_off() -> None:
    clock = Clock()

    class Gone(Server):
        async def now(self) -> datetime | None:
            raise OSError

    ready, detail = await told(Gone(clock), Server(clock, known=False))
    assert (ready, detail) == (True, "no server gave its time")
    offset = REGISTRY.get_sample_value("profile_clock_offset_seconds", {"server": "kafka"})
    assert offset is not None
    assert math.isnan(offset)
