"""A tumbling window: closed by records, bytes, or the time since its first record, whichever comes first."""

from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from app.core.clock import Clock

T = TypeVar("T")
Cause = Literal["records", "bytes", "time", "stop"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowLimits:
    """Inclusive: a window that reaches one of them closes."""

    max_records: int
    max_bytes: int
    linger_s: float


class TumblingWindow(Generic[T]):
    """Collects items until it is full or due; it reads the clock that it is given and no other."""

    def __init__(self, limits: WindowLimits, clock: Clock) -> None:
        self._limits = limits
        self._clock = clock
        self._items: list[T] = []
        self._records = 0
        self._bytes = 0
        self._opened_at: float | None = None

    def add(self, item: T, *, records: int, size_bytes: int) -> None:
        if self._opened_at is None:
            self._opened_at = self._clock.monotonic()
        self._items.append(item)
        self._records += records
        self._bytes += size_bytes

    @property
    def opened_at(self) -> float | None:
        """When the first item came, in monotonic seconds; None while it is empty."""
        return self._opened_at

    @property
    def due_in_s(self) -> float | None:
        """Seconds until time closes it; None while it is empty."""
        if self._opened_at is None:
            return None
        return max(0.0, self._opened_at + self._limits.linger_s - self._clock.monotonic())

    def closed_by(self) -> Cause | None:
        """Why it is to be flushed now, or None."""
        if self._opened_at is None:
            return None
        if self._records >= self._limits.max_records:
            return "records"
        if self._bytes >= self._limits.max_bytes:
            return "bytes"
        return "time" if self.due_in_s == 0.0 else None

    def take(self) -> list[T]:
        """Its items in order of arrival; it is empty then."""
        items, self._items = self._items, []
        self._records = self._bytes = 0
        self._opened_at = None
        return items
