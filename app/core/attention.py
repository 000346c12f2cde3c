"""Time limits that run only while this process' own event loop is punctual.

A loop that is late has not read what lies in its sockets: its own lateness would pass for a server's silence. So a
turn of the loop counts as one tick at most, however long it took, and a limit of n ticks takes at least n turns.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

TICK_S: Final = 0.05
_LEAST_TICKS: Final = 8  # of a limit, however short: a reply takes its sender and its reader some turns


class Attention:
    """Seconds that the loop attended to its sockets. Its reader looks at it once a tick at least while it waits."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, limit_s: float) -> None:
        self.tick_s = min(TICK_S, limit_s / _LEAST_TICKS)
        self._loop = loop
        self._attended_s = 0.0
        self._looked_at = loop.time()

    def now(self) -> float:
        """Only differences mean anything."""
        at = self._loop.time()
        self._attended_s += min(at - self._looked_at, self.tick_s)
        self._looked_at = at
        return self._attended_s


@asynccontextmanager
async def attended_timeout(limit_s: float) -> AsyncIterator[None]:
    """As asyncio.timeout, for waiting on another process: raises TimeoutError after `limit_s` of attention."""
    loop = asyncio.get_running_loop()
    attention = Attention(loop, limit_s=limit_s)
    due = attention.now() + limit_s
    async with asyncio.timeout(None) as limit:
        timer: asyncio.TimerHandle

        def look(*, is_overdue: bool = False) -> None:
            nonlocal timer
            left = due - attention.now()
            if left > 0:
                timer = loop.call_later(min(left, attention.tick_s), look)
            elif not is_overdue:
                # What has come lies unread until the loop has looked at its sockets once more.
                timer = loop.call_later(attention.tick_s / 2, lambda: look(is_overdue=True))
            else:
                limit.reschedule(loop.time())

        look()
        try:
            yield
        finally:
            timer.cancel()
