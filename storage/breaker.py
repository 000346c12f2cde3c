"""A circuit breaker that lets one probe through: a dead or hanging server costs few requests their time limit."""

from app.core.clock import Clock


class Breaker:
    """Closed: calls pass. Open after `threshold` failures in a row: none passes for `cooldown_s`, then one probe."""

    def __init__(self, clock: Clock, *, cooldown_s: float, threshold: int = 1) -> None:
        self._clock = clock
        self._cooldown_s = cooldown_s
        self._threshold = threshold
        self._failures = 0
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
        self._failures = 0

    def failed(self) -> None:
        self._failures += 1
        if self._failures >= self._threshold:
            self._open_until = self._clock.monotonic() + self._cooldown_s
