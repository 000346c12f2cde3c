"""One probe at a time while the breaker is open."""

from storage.breaker import Breaker
from tests.unit.storage.fakes import ManualClock


def test_open_lets_one_probe_through_in_each_cooldown() -> None:
    clock = ManualClock()
    breaker = Breaker(clock, cooldown_s=1.0)
    assert breaker.closed
    breaker.failed()
    assert not breaker.allow()
    clock.time = 1.0
    assert [breaker.allow(), breaker.allow()] == [True, False]
    breaker.succeeded()
    assert [breaker.allow(), breaker.allow()] == [True, True]
