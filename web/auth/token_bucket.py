"""A limit of a rate that allows bursts."""

from app.core.api_keys import Rate


class TokenBucket:
    """Full at first; a second brings `per_s` tokens, up to `burst`."""

    __slots__ = ("_at", "_level", "rate")

    def __init__(self, rate: Rate, now: float) -> None:
        self.rate = rate
        self._level = float(rate.burst)
        self._at = now

    def take(self, now: float) -> float:
        """Take a token and return 0, or the seconds until there is one."""
        level = min(self.rate.burst, self._level + max(0.0, now - self._at) * self.rate.per_s)
        self._at = now
        if level < 1:
            self._level = level
            return (1 - level) / self.rate.per_s
        self._level = level - 1
        return 0.0
