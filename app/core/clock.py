"""Time, injected: code asks a clock, tests hold one."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Monotonic seconds for intervals, UTC for dates, and seconds since 1970."""

    def monotonic(self) -> float: ...

    def now(self) -> datetime: ...

    def epoch_s(self) -> float: ...


class SystemClock:
    """The clock of the machine."""

    def monotonic(self) -> float:
        return time.monotonic()

    def now(self) -> datetime:
        return datetime.now(UTC)

    def epoch_s(self) -> float:
        return time.time()
