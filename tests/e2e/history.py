"""The history of writes, against which every answer is checked.

What is written is a cell: one value that only grows, by one writer, one version after the other. So an answer is as old
as the version that it shows, whoever gives it.
"""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class Write:
    """One version of a cell, on one clock. `interrupted`: who wrote it died before it answered."""

    started: float
    acked: float | None = None
    interrupted: bool = False
    seen: float | None = None  # when the first read ended that showed it
    stale_s: float = 0.0  # after the acknowledgement, a read that did not show it began so late at most
    back_s: float = 0.0  # the same after another read had shown it
    by: str = ""  # who answered that late read, and how


class Cell:
    """The versions of one value; version 0 is that it is not there yet."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.writes: list[Write] = []

    @property
    def version(self) -> int:
        """The latest version that anyone began to write."""
        return len(self.writes)

    def begin(self, now: float) -> Write:
        """The write of the next version."""
        write = Write(started=now)
        self.writes.append(write)
        return write

    def shows(self, version: int, *, began: float, ended: float, by: str) -> None:
        """A read in that time gave this version."""
        for write in reversed(self.writes[:version]):
            if write.seen is not None:
                break
            write.seen = ended
        for write in self.writes[version:]:
            _missed(write, began, by)
            if write.acked is None:
                break

    def lacks(self, version: int, *, began: float, ended: float, by: str) -> None:
        """A look-up of this version gave nothing; a later one, or none yet, may have been the current one."""
        write = self.writes[version - 1]
        if version == self.version or self.writes[version].started > ended:
            _missed(write, began, by)

    def finds(self, version: int, *, began: float, by: str) -> None:
        """A look-up of this version found it, though perhaps a later one was current."""
        if version < self.version:
            _missed(self.writes[version], began, by)


def _missed(write: Write, began: float, by: str) -> None:
    if write.acked is not None and began - write.acked > write.stale_s:
        write.stale_s, write.by = began - write.acked, by
    if write.seen is not None:
        write.back_s = max(write.back_s, began - write.seen)


@dataclass(slots=True)
class History:
    """All cells, and what was wrong at once: a read that brought a token must never be older."""

    cells: dict[str, Cell] = field(default_factory=dict)
    broken_tokens: list[str] = field(default_factory=list)

    def cell(self, name: str) -> Cell:
        return self.cells.setdefault(name, Cell(name))

    def writes(self, *, interrupted: bool) -> Iterator[tuple[str, int, Write]]:
        """Cell, version and write of all that were acknowledged."""
        for cell in self.cells.values():
            for version, write in enumerate(cell.writes, start=1):
                if write.acked is not None and write.interrupted == interrupted:
                    yield cell.name, version, write

    def late(self, *, limit_s: float, interrupted: bool) -> list[str]:
        """The writes that somebody read too late, worst first."""
        found = [
            (max(write.stale_s, write.back_s), f"{name} version {version}: {write}")
            for name, version, write in self.writes(interrupted=interrupted)
            if max(write.stale_s, write.back_s) > limit_s
        ]
        return [text for _, text in sorted(found, reverse=True)]

    def delays(self, *, interrupted: bool) -> "Delays":
        return Delays(sorted(write.stale_s for _, _, write in self.writes(interrupted=interrupted)))


class Delays:
    """Seconds after their acknowledgement at which writes were last not seen, in order."""

    def __init__(self, ordered: list[float]) -> None:
        self._ordered = ordered

    def __len__(self) -> int:
        return len(self._ordered)

    @property
    def longest(self) -> float:
        return self._ordered[-1] if self._ordered else 0.0

    @property
    def p99(self) -> float:
        return self._ordered[min(len(self._ordered) - 1, len(self._ordered) * 99 // 100)] if self else 0.0

    def __str__(self) -> str:
        seen_late = len(self._ordered) - bisect_left(self._ordered, 1e-9)
        return (
            f"{len(self)} writes, {seen_late} of them read too old after the acknowledgement; "
            f"p99 {self.p99 * 1000:.1f} ms, longest {self.longest * 1000:.1f} ms"
        )
