"""Retries of what is transient: bounded, with growing and jittered pauses."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from app.core.errors import FatalError, TransientError
from app.core.log_events import LogEvent

logger = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """`attempts` in all, the last of them begun within `within_s`.

    Pauses double from `first_pause_s` to `longest_pause_s`, each shortened by chance.
    """

    attempts: int = 8
    first_pause_s: float = 0.05
    longest_pause_s: float = 5.0
    within_s: float = 60.0
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    chance: Callable[[], float] = random.random
    monotonic: Callable[[], float] = time.monotonic

    async def run(
        self, what: str, attempt: Callable[[], Awaitable[T]], *, on_retry: Callable[[], None] | None = None
    ) -> T:
        """Return the first success. Raises FatalError with the last cause when the attempts run out."""
        pause_s = self.first_pause_s
        last_at = self.monotonic() + self.within_s
        for number in range(1, self.attempts + 1):
            try:
                return await attempt()
            except TransientError as error:
                if number == self.attempts or self.monotonic() >= last_at:
                    raise FatalError(f"{what} failed {number} times; the last cause: {error}") from error
                logger.warning(
                    "%s failed (attempt %d of %d): %s",
                    what,
                    number,
                    self.attempts,
                    error,
                    extra=LogEvent.ATTEMPT_FAILED.extra,
                )
                if on_retry is not None:
                    on_retry()
            await self.sleep(pause_s * (0.5 + self.chance() / 2))
            pause_s = min(pause_s * 2, self.longest_pause_s)
        raise AssertionError("unreachable: the last attempt returns or raises")
