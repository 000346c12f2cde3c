"""Whose turn it is: requests that are answered as they arrive, or all else that this process does.

In one turn of the event loop everything is handed over that has arrived meanwhile: with hundreds of clients that is
tens of milliseconds of answers from memory. A read that has to ask Redis and PostgreSQL goes on by one step in each
turn, and so does a refill of what a commit has dropped, which takes some ten of them. So answers get a share of each
turn, and those beyond it wait in line.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final

SHARE_S: Final = 0.001


class Turns:
    """Of one event loop. `observe` is told the seconds that each who waited has waited; `clock` is in seconds."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        observe: Callable[[float], None],
        *,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._loop = loop
        self._observe = observe
        self._clock = clock
        self._line: deque[tuple[Callable[[], None], float]] = deque()
        self._ends_at: float | None = None  # the share of this turn; None before it has begun

    def may_answer(self) -> bool:
        """Whether there is time now; there is none while somebody waits who came before."""
        if self._ends_at is None:
            self._ends_at = self._clock() + SHARE_S
            self._loop.call_soon(self._next)
            return True
        return self._clock() < self._ends_at

    def wait(self, answer: Callable[[], None]) -> None:
        """Call it when its turn has come. It raises nothing."""
        self._line.append((answer, self._clock()))

    def _next(self) -> None:
        if not self._line:
            self._ends_at = None
            return
        # What arrives in the rest of this turn has what is left of the share.
        now = self._clock()
        self._ends_at = ends_at = now + SHARE_S
        self._loop.call_soon(self._next)
        while self._line and now < ends_at:
            answer, since = self._line.popleft()
            self._observe(now - since)
            answer()
            now = self._clock()
