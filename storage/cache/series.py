"""One key's points over time, as bytes of which any period is a slice."""

from array import array
from collections.abc import Iterable
from typing import Final, Self

import msgspec

_DATE_FROM, _DATE_TO = -29, -2  # a point ends with its date, of 27 characters, and `"}`
_END: Final = "I"  # unsigned, of 32 bits, as this machine spells them


class Series(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The opening bytes, the points by reference date with commas between them, and where each of them ends.

    Dates have a fixed width (app.core.dates.to_text) and stand at the end of each point, so they need no other place: a
    process may hold millions of them.
    """

    opening: bytes
    ends: bytes
    joined: bytes

    @classmethod
    def of(cls, opening: bytes, points: Iterable[bytes]) -> Self:
        """Of at least one point, each `{…,"reference_date":"<date>"}`, in the order of their dates."""
        ends, end = array(_END), -1
        points = list(points)
        for point in points:
            end += 1 + len(point)
            ends.append(end)
        return cls(opening, ends.tobytes(), b",".join(points))

    @property
    def size_bytes(self) -> int:
        """About what it takes in memory."""
        return 200 + len(self.opening) + len(self.ends) + len(self.joined)

    def __len__(self) -> int:
        """How many points."""
        return len(memoryview(self.ends).cast(_END))

    @property
    def dates(self) -> list[bytes]:
        """Of each point, oldest first."""
        joined = self.joined
        return [joined[end + _DATE_FROM : end + _DATE_TO] for end in memoryview(self.ends).cast(_END)]

    def since(self, date: bytes | None) -> bytes:
        """The opening and the points from a date on; empty where there is none."""
        joined = self.joined
        if date is None:
            return self.opening + joined
        if joined[_DATE_FROM:_DATE_TO] < date:
            return b""
        ends = memoryview(self.ends).cast(_END)
        first = self._first_not_before(date, ends)
        return self.opening + (joined[ends[first - 1] + 1 :] if first else joined)

    def until(self, date: bytes) -> Self | None:
        """The points up to a date and of it; None where there is none."""
        ends = memoryview(self.ends).cast(_END)
        # No date lies between one and the same with a byte behind it.
        kept = self._first_not_before(date + b"\0", ends)
        if kept == len(ends):
            return self
        return (
            type(self)(self.opening, ends[:kept].tobytes(), self.joined[: ends[kept - 1]]) if kept else None
        )

    def _first_not_before(self, date: bytes, ends: memoryview) -> int:
        # bisect.bisect_left with a key takes twice as long.
        joined, low, high = self.joined, 0, len(ends)
        while low < high:
            middle = (low + high) >> 1
            end = ends[middle]
            if joined[end + _DATE_FROM : end + _DATE_TO] < date:
                low = middle + 1
            else:
                high = middle
        return low


# The opening, the points, where each of them ends, and the number of its date.
Ranked = tuple[bytes, bytes, "array[int]", "array[int]"]


def ranked(all_series: Iterable[Series]) -> tuple[list[bytes], list[Ranked]]:
    """The same for whoever asks for many periods: all dates in order, and each series with the numbers of its dates."""
    dated = [(series, series.dates) for series in all_series]
    dates = sorted({date for _, of_series in dated for date in of_series})
    numbers = {date: number for number, date in enumerate(dates)}
    return dates, [
        (
            series.opening,
            series.joined,
            array(_END, series.ends),
            array(_END, map(numbers.__getitem__, of_series)),
        )
        for series, of_series in dated
    ]
