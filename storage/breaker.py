"""A circuit breaker that lets one probe through: a dead or hanging cache costs one request its time limit."""

from app.clock import Clock


class Breaker:
    """Closed: calls pass. Open after a failure: none passes for `cooldown_s`, then one probe at a time."""

    def __init__(self, clock: Clock, *, cooldown_s: float) -> None:
        self._clock = clock
        self._cooldown_s = cooldown_s
        self._open_until: float | None = None

    @property
    def closed(self) -> bool:
        return self._open_until is None

    def allow(self) -> bool:
        """Whether a call may be made now; while open, at most one in each cooldown."""
        if self._open_until is None:
            return True
        now = self._clock.monotonic()
        if now < self._open_until:
            return False
        self._open_until = now + self._cooldown_s
        return True

    def succeeded(self) -> None:
        self._open_until = None

    def failed(self) -> None:
        self._open_until = self._clock.monotonic() + self._cooldown_s
