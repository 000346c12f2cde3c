"""Reads what comes to the topic into the ring, for as long as it runs; an outage of Kafka is waited out."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Final

from app.core.errors import TransientError
from app.feed.log import Bounds, EventLog
from app.feed.ring import EventRing

logger = logging.getLogger(__name__)

_POLL_S: Final = 1.0
_LOOK_S: Final = 3.0  # without events, between looks whether Kafka still answers
_PAUSES_S: Final = (0.2, 0.5, 1.0, 2.0)


class EventTail:
    """One task. `wake` is called when there is more in the ring."""

    def __init__(self, log: Callable[[], EventLog], ring: EventRing, wake: Callable[[], None]) -> None:
        self._log = log
        self.ring = ring
        self._wake = wake
        self._up = asyncio.Event()
        self._failure: TransientError | None = None
        self._failed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._reading: EventLog | None = None

    @property
    def waits_for(self) -> str | None:
        """What it waits for; None while it reads."""
        return None if self._up.is_set() else "Kafka"

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="event-tail")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def ready(self, *, timeout_s: float) -> None:
        """Return while it reads and Kafka answers. Raises TransientError."""
        if self._up.is_set() and self._reading is not None:
            await self._reading.bounds()
            return
        waiting = [asyncio.ensure_future(event.wait()) for event in (self._up, self._failed)]
        try:
            await asyncio.wait(waiting, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waiting:
                each.cancel()
        if not self._up.is_set():
            raise self._failure or TransientError("The topic of domain events could not be read in time.")

    async def _run(self) -> None:
        failures = 0
        while True:
            try:
                async with self._log() as log:
                    await self._begin(log)
                    failures = 0
                    await self._read(log)
            except TransientError as error:
                self._down(error)
            except Exception as error:  # noqa: BLE001 - whoever follows waits for it to go on
                self._down(
                    TransientError(f"The topic of domain events can't be read ({type(error).__name__}).")
                )
            await asyncio.sleep(_PAUSES_S[min(failures, len(_PAUSES_S) - 1)])
            failures += 1

    async def _begin(self, log: EventLog) -> None:
        bounds = await log.bounds()
        positions = self.ring.ends
        if not positions:
            self.ring.begin({number: each.end for number, each in bounds.items()})
        elif not _reaches(bounds, positions):
            # Who reads the ring is told to come back, and then that something is missing.
            self.ring.begin({number: each.end for number, each in bounds.items()})
            self._wake()
        log.seek({number: self.ring.ends.get(number, each.oldest) for number, each in bounds.items()})
        self._reading = log
        self._failure = None
        self._failed.clear()
        self._up.set()

    async def _read(self, log: EventLog) -> None:
        clock = asyncio.get_running_loop().time
        answered = clock()
        while True:
            fetched = await log.fetch(timeout_s=_POLL_S)
            self.ring.extend(fetched.events, fetched.positions)
            if fetched.events:
                answered = clock()
                self._wake()
            elif clock() - answered > _LOOK_S:
                # The consumer itself waits for a broker without a word.
                await log.bounds()
                answered = clock()

    def _down(self, error: TransientError) -> None:
        if self._failure is None:
            logger.warning("The feed of events waits: %s", error)
        self._reading = None
        self._failure = error
        self._up.clear()
        self._failed.set()


def _reaches(bounds: Mapping[int, Bounds], positions: Mapping[int, int]) -> bool:
    """Whether reading can go on at these positions."""
    return positions.keys() <= bounds.keys() and all(
        bounds[number].oldest <= position <= bounds[number].end for number, position in positions.items()
    )
