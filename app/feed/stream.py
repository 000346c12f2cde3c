"""The stream of one reader: from a reader of its own until the ring has what follows."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

from app.core.domain_event import DomainEvent
from app.core.errors import BusyError
from app.core.signing import Signer
from app.feed import cursor
from app.feed.log import Bounds, EventLog, Fetched
from app.feed.tail import EventTail
from app.observability import metrics
from app.ports.events import StreamEndedError

_TURN_S: Final = 2.0  # how long one waits for its turn to catch up


class Stream:
    """Implements app.ports.events.EventStream."""

    def __init__(
        self,
        topic: str,
        tail: EventTail,
        log: Callable[[], EventLog],
        turns: asyncio.Semaphore,
        signer: Signer,
    ) -> None:
        self._signer = signer
        self._topic = topic
        self._tail = tail
        self._make_log = log
        self._turns = turns
        self._positions: dict[int, int] = {}
        self._sequence = 0
        self._woken = asyncio.Event()
        self._why_ended: str | None = None
        self.gap: str | None = None
        # While it catches up: a reader, what it brought, and where it goes on.
        self._own: contextlib.AsyncExitStack | None = None
        self._closing: asyncio.Future[None] | None = None
        self._reader: EventLog | None = None
        self._brought: deque[DomainEvent] = deque()
        self._read_to: Mapping[int, int] = {}

    async def begin(self, positions: Mapping[int, int] | None) -> None:
        ring = self._tail.ring
        if positions is None:
            self._positions, self._sequence = dict(ring.ends), ring.next
            return
        if positions.keys() <= ring.ends.keys() and ring.covers(positions) and _behind(positions, ring.ends):
            self._join({number: positions.get(number, 0) for number in ring.ends})
            return
        stack = contextlib.AsyncExitStack()
        try:
            await self._take_turn(stack)
            reader = await stack.enter_async_context(self._make_log())
            self._positions = self._within(positions, await reader.bounds())
            reader.seek(self._positions)
        except BaseException:
            await stack.aclose()
            raise
        self._own, self._reader, self._read_to = stack, reader, dict(self._positions)

    async def _take_turn(self, stack: contextlib.AsyncExitStack) -> None:
        try:
            async with asyncio.timeout(_TURN_S):
                await self._turns.acquire()
        except TimeoutError:
            raise BusyError(
                "Others are reading old events now, and this process has no reader left; try again in a moment."
            ) from None
        stack.callback(self._turns.release)

    def _within(self, positions: Mapping[int, int], bounds: Mapping[int, Bounds]) -> dict[int, int]:
        """Where to begin; partitions that are new since then begin at their oldest record."""
        begun: dict[int, int] = {}
        for number, (oldest, end) in bounds.items():
            wanted = positions.get(number, 0)
            if number in positions and wanted < oldest:
                self.gap = "Events after this position are no longer in the topic."
            elif wanted > end:
                self.gap = "The topic has no such position: it was made anew, or lost records."
            begun[number] = end if wanted > end else max(wanted, oldest)
        if positions.keys() > bounds.keys():
            self.gap = "The topic has fewer partitions than at this position."
        return begun

    @property
    def cursor(self) -> str:
        return cursor.encode(self._signer, self._topic, self._positions)

    @property
    def waits_for(self) -> str | None:
        return self._tail.waits_for

    def wake(self) -> None:
        self._woken.set()

    def end(self, why: str) -> None:
        self._why_ended = why
        self._woken.set()

    def take(self, wanted: Callable[[DomainEvent], bool]) -> DomainEvent | None:
        if self._why_ended is not None:
            raise StreamEndedError(self._why_ended)
        while self._brought:
            event = self._brought.popleft()
            self._positions[event.partition] = event.offset + 1
            if wanted(event):
                return event
        return None if self._reader is not None else self._take_live(wanted)

    def _take_live(self, wanted: Callable[[DomainEvent], bool]) -> DomainEvent | None:
        ring, positions = self._tail.ring, self._positions
        if self._sequence < ring.first:
            metrics.EVENT_STREAMS_BEHIND.inc()
            raise StreamEndedError("you fell behind")
        while self._sequence < ring.next:
            event = ring[self._sequence]
            self._sequence += 1
            if event.offset < positions.get(event.partition, 0):
                continue
            positions[event.partition] = event.offset + 1
            if wanted(event):
                return event
        return None

    async def wait(self, timeout_s: float) -> None:
        if self._why_ended is not None:
            raise StreamEndedError(self._why_ended)
        if self._reader is not None:
            await self._catch_up(self._reader, timeout_s)
        elif self._sequence == self._tail.ring.next:
            self._woken.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._woken.wait()
        if self._why_ended is not None:
            raise StreamEndedError(self._why_ended)

    async def _catch_up(self, reader: EventLog, timeout_s: float) -> None:
        """Read on from the topic, or change to the ring where it has all that follows."""
        if self._brought:
            return
        self._positions = dict(self._read_to)
        if self._tail.ring.covers(self._positions):
            self._join(self._positions)  # at once: the ring moves on
            await self.close()
            return
        fetched: Fetched = await reader.fetch(timeout_s=timeout_s)
        self._brought.extend(fetched.events)
        self._read_to = fetched.positions

    def _join(self, positions: Mapping[int, int]) -> None:
        self._positions, self._sequence = dict(positions), self._tail.ring.first

    async def close(self) -> None:
        stack, self._own, self._reader = self._own, None, None
        if stack is not None:
            self._closing = asyncio.ensure_future(stack.aclose())
        if self._closing is not None:
            # A client may leave while its reader is being closed; whoever closes the stream waits for that.
            await asyncio.shield(self._closing)


def _behind(positions: Mapping[int, int], ends: Mapping[int, int]) -> bool:
    return all(position <= ends[number] for number, position in positions.items())
