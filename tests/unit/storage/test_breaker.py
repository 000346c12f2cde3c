"""One probe at a time while the breaker is open."""

from datetime import UTC, datetime

from storage.breaker import Breaker


class FakeClock:
    def __init__(self) -> None:
        self.time_s = 0.0

    def monotonic(self) -> float:
        return self.time_s

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.time_s, UTC)


def test_open_lets_one_probe_through_in_each_cooldown() -> None:
    clock = FakeClock()
    breaker = Breaker(clock, cooldown_s=1.0)
    assert breaker.closed
    breaker.failed()
    assert not breaker.allow()
    clock.time_s = 1.0
    assert [breaker.allow(), breaker.allow()] == [True, False]
    breaker.succeeded()
    assert [breaker.allow(), breaker.allow()] == [True, True]
