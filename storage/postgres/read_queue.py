"""The line before PostgreSQL: so many reads at a time, fairly between API keys, and of each key in order of arrival.

A free turn goes to the key that has the fewest reads under way, and of these to the one whose last turn is the longest
ago. So a key that asks for much waits behind itself, and other keys as if it asked for little.

Without it each cold read waits for a connection of one server after the other, who comes meanwhile may take one first,
and with more load than there is room for all are late at once. Here a read is refused, by BusyError, as soon as it is
clear that its turn would come too late: when it asks and too many are before it, or when its request has waited for
`patience_s`.
"""

import asyncio
import math
from bisect import bisect
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.core.arrival import ARRIVED_AT, ASKER
from app.core.clock import Clock
from app.core.errors import BusyError
from app.observability.metrics import READS_REFUSED, READS_WAITED

_WEIGHT = 0.05  # of the latest read in the mean

_Place = tuple[float, int, asyncio.Future[None]]


class ReadQueue:
    """Lets `at_once` reads go on at a time. A request that reads several times keeps its place.

    A read that has its turn is not interrupted: who asks bounds it. What is read for nobody (see app.core.arrival)
    arrives when it asks.
    """

    def __init__(self, *, at_once: int, patience_s: float, clock: Clock) -> None:
        self._at_once = at_once
        self._patience_s = patience_s
        self._clock = clock
        self._reading: Counter[str | None] = Counter()  # by key
        self._number = 0
        self._mean_s = 0.0  # that a turn takes
        # By key; each sorted, the first at its end: (-arrived at, -number, …).
        self._lines: dict[str | None, list[_Place]] = {}
        self._served: dict[str | None, int] = {}  # of each with a line: the number of its last turn
        self._turns = 0

    @property
    def waiting(self) -> int:
        """How many reads wait for their turn."""
        return sum(map(len, self._lines.values()))

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for one's turn, which ends with the context. Raises BusyError."""
        asker = ASKER.get()
        if self._reading.total() < self._at_once:
            self._reading[asker] += 1
        else:
            await self._wait(asker)
        started = self._clock.monotonic()
        try:
            yield
        finally:
            took_s = self._clock.monotonic() - started
            self._mean_s += (took_s - self._mean_s) * (_WEIGHT if self._mean_s else 1)
            self._leave(asker)

    async def _wait(self, asker: str | None) -> None:
        now = self._clock.monotonic()
        arrived = ARRIVED_AT.get()
        arrived = now if arrived is None else min(arrived, now)
        self._number += 1
        place = (-arrived, -self._number, asyncio.get_running_loop().create_future())
        line = self._lines.get(asker, [])
        at = bisect(line, place)
        left_s = arrived + self._patience_s - now
        # Those before it, as many of each other key, itself, and what is being read take turns.
        own = len(line) - at + 1
        turns = own + sum(min(len(each), own) for key, each in self._lines.items() if key != asker)
        if turns * self._mean_s / self._at_once + self._mean_s > left_s:
            raise self._refusal()
        line.insert(at, place)
        self._lines[asker] = line
        self._served.setdefault(asker, self._turns)
        try:
            async with asyncio.timeout(left_s):
                await place[2]
        except BaseException as error:
            if place[2].done() and not place[2].cancelled():
                self._leave(asker)  # its turn came just now
            elif place in line:
                line.remove(place)
                if not line:
                    self._forget(asker)
            if isinstance(error, TimeoutError):
                raise self._refusal() from None
            raise
        READS_WAITED.observe(self._clock.monotonic() - now)

    def _leave(self, asker: str | None) -> None:
        """Give the turn to whom it belongs next, so that nobody who comes meanwhile takes it."""
        self._reading[asker] -= 1
        if not self._reading[asker]:
            del self._reading[asker]
        while self._lines:
            following = min(self._lines, key=lambda each: (self._reading[each], self._served[each]))
            line = self._lines[following]
            _, _, place = line.pop()
            self._turns += 1
            self._served[following] = self._turns
            if not line:
                self._forget(following)
            if not place.done():
                self._reading[following] += 1
                place.set_result(None)
                return

    def _forget(self, asker: str | None) -> None:
        """Its line is empty."""
        self._lines.pop(asker, None)
        self._served.pop(asker, None)

    def _refusal(self) -> BusyError:
        READS_REFUSED.add()
        line_s = self.waiting * self._mean_s / self._at_once
        return BusyError(
            "More is being read of PostgreSQL than it answers in time; try again in a moment.",
            retry_after_s=max(1, math.ceil(line_s)),
        )
