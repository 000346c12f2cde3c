"""A limit of a rate that allows bursts."""

from app.core.api_keys import Rate


class TokenBucket:
    """Full at first; a second brings `per_s` tokens, up to `burst`."""

    __slots__ = ("_at", "_level", "rate")

    def __init__(self, rate: Rate, now: float) -> None:
        self.rate = rate
        self._level = float(rate.burst)
        self._at = now

    def charge(self, cost: float, now: float) -> None:
        """Take as much for what was done already; who has less owes it, a full bucket at most."""
        self._level = max(-float(self.rate.burst), self._refilled(now) - cost)
        self._at = now

    def _refilled(self, now: float) -> float:
        return min(self.rate.burst, self._level + max(0.0, now - self._at) * self.rate.per_s)

    def take(self, now: float) -> float:
        """Take a token and return 0, or the seconds until there is one."""
        level = self._refilled(now)
        self._at = now
        if level < 1:
            self._level = level
            return (1 - level) / self.rate.per_s
        self._level = level - 1
        return 0.0
