"""The change feed of one process: one reader of the topic for all who follow it, while anyone does.

Who is near the end reads from a ring in memory. Who comes with an older position reads the topic by a reader of its
own, at its own pace, until the ring has what follows. Whoever is slower than the ring holds is told so, and may come
back with its cursor.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from app.core.errors import BusyError, TransientError
from app.core.signing import Signer
from app.feed import cursor
from app.feed.log import EventLog
from app.feed.ring import EventRing
from app.feed.stream import Stream
from app.feed.tail import EventTail
from app.observability import metrics
from app.ports.events import EventStream

logger = logging.getLogger(__name__)

_CATCHING_UP: Final = 4  # readers of their own at a time
_MAX_EVENTS: Final = 20_000
_READY_S: Final = 5.0


class ChangeFeed:
    """Implements app.ports.events.EventFeed."""

    def __init__(
        self,
        topic: str,
        log: Callable[[], EventLog],
        *,
        signer: Signer,
        max_streams: int,
        max_bytes: int,
        max_events: int = _MAX_EVENTS,
        catching_up: int = _CATCHING_UP,
    ) -> None:
        self._topic = topic
        self._log = log
        self._signer = signer
        self._max_streams = max_streams
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._turns = asyncio.Semaphore(catching_up)
        self._streams: set[Stream] = set()
        self._followers = 0
        self._tail: EventTail | None = None
        self._leaving: set[asyncio.Task[None]] = set()
        self._ended = False

    @asynccontextmanager
    async def follow(self, after: str | None) -> AsyncIterator[EventStream]:
        positions = None if after is None else cursor.decode(self._signer, self._topic, after)
        if self._ended:
            raise TransientError("This process stops.")
        if self._followers >= self._max_streams:
            raise BusyError(
                f"This process has {self._max_streams} streams of events already "
                "(PROFILE_WEB_EVENT_STREAMS); try again in a moment."
            )
        self._followers += 1
        metrics.EVENT_STREAMS.set(self._followers)
        tail = self._tail = self._tail or self._started()
        stream = Stream(self._topic, tail, self._log, self._turns, self._signer)
        try:
            await tail.ready(timeout_s=_READY_S)
            await stream.begin(positions)
            self._streams.add(stream)
            yield stream
        finally:
            self._streams.discard(stream)
            self._followers -= 1
            metrics.EVENT_STREAMS.set(self._followers)
            if self._followers == 0:
                self._tail = None
            # Whoever is impatient with this one does not leave connections behind.
            leaving = asyncio.create_task(self._leave(stream, tail, last=self._tail is not tail))
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)
            await asyncio.shield(leaving)

    @staticmethod
    async def _leave(stream: "Stream", tail: EventTail, *, last: bool) -> None:
        try:
            await stream.close()
        finally:
            if last:
                await tail.stop()

    def _started(self) -> EventTail:
        ring = EventRing(max_events=self._max_events, max_bytes=self._max_bytes)
        tail = EventTail(self._log, ring, self._wake)
        tail.start()
        return tail

    def end_streams(self) -> None:
        self._ended = True
        for stream in self._streams:
            stream.end("the server stops")

    async def close(self) -> None:
        """Stop reading the topic; streams are to be over."""
        self.end_streams()
        tail, self._tail = self._tail, None
        if tail is not None:
            await tail.stop()
        await asyncio.gather(*self._leaving, return_exceptions=True)

    def _wake(self) -> None:
        for stream in self._streams:
            stream.wake()
