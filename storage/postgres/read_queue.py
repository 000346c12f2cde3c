"""The line before PostgreSQL: so many reads at a time, in the order in which their requests arrived.

Without it each cold read waits for a connection of one server after the other, who comes meanwhile may take one first,
and with more load than there is room for all are late at once. Here a read is refused, by BusyError, as soon as it is
clear that its turn would come too late: when it asks and too many are before it, or when its request has waited for
`patience_s`.
"""

import asyncio
import math
from bisect import bisect
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.core.arrival import ARRIVED_AT
from app.core.clock import Clock
from app.core.errors import BusyError
from app.observability.metrics import READS_REFUSED, READS_WAITED

_WEIGHT = 0.05  # of the latest read in the mean


class ReadQueue:
    """Lets `at_once` reads go on at a time. A request that reads several times keeps its place.

    A read that has its turn is not interrupted: who asks bounds it. What is read for nobody (see app.core.arrival)
    arrives when it asks.
    """

    def __init__(self, *, at_once: int, patience_s: float, clock: Clock) -> None:
        self._at_once = at_once
        self._patience_s = patience_s
        self._clock = clock
        self._reading = 0
        self._number = 0
        self._mean_s = 0.0  # that a turn takes
        # Sorted, the first at its end: (-arrived at, -number, …).
        self._line: list[tuple[float, int, asyncio.Future[None]]] = []

    @property
    def waiting(self) -> int:
        """How many reads wait for their turn."""
        return len(self._line)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for one's turn, which ends with the context. Raises BusyError."""
        if self._reading < self._at_once:
            self._reading += 1
        else:
            await self._wait()
        started = self._clock.monotonic()
        try:
            yield
        finally:
            took_s = self._clock.monotonic() - started
            self._mean_s += (took_s - self._mean_s) * (_WEIGHT if self._mean_s else 1)
            self._leave()

    async def _wait(self) -> None:
        now = self._clock.monotonic()
        arrived = ARRIVED_AT.get()
        arrived = now if arrived is None else min(arrived, now)
        self._number += 1
        place = (-arrived, -self._number, asyncio.get_running_loop().create_future())
        at = bisect(self._line, place)
        left_s = arrived + self._patience_s - now
        # Those before it, itself, and what is being read take turns.
        turns = len(self._line) - at + 1
        if turns * self._mean_s / self._at_once + self._mean_s > left_s:
            raise self._refusal()
        self._line.insert(at, place)
        try:
            async with asyncio.timeout(left_s):
                await place[2]
        except BaseException as error:
            if place[2].done() and not place[2].cancelled():
                self._leave()  # its turn came just now
            elif place in self._line:
                self._line.remove(place)
            if isinstance(error, TimeoutError):
                raise self._refusal() from None
            raise
        READS_WAITED.observe(self._clock.monotonic() - now)

    def _leave(self) -> None:
        """Give the turn to the first in line, so that nobody who comes meanwhile takes it."""
        while self._line:
            _, _, place = self._line.pop()
            if not place.done():
                place.set_result(None)
                return
        self._reading -= 1

    def _refusal(self) -> BusyError:
        READS_REFUSED.add()
        line_s = len(self._line) * self._mean_s / self._at_once
        return BusyError(
            "More is being read of PostgreSQL than it answers in time; try again in a moment.",
            retry_after_s=max(1, math.ceil(line_s)),
        )
