"""Whether the clocks of this worker, the primary and the brokers agree.

The primary's clock dates erasures, removals and requests; producers and brokers date records. Where the clocks
differ, a record of a moment after an erasure may count as from before it.
"""

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NoReturn

from app.core.clock import Clock
from app.core.log_events import LogEvent
from app.observability.metrics import CLOCK_OFFSET
from app.ports.health import DependencyState

logger = logging.getLogger(__name__)

LIMIT_S: Final = 1.0
INTERVAL_S: Final = 60.0
_NOT_KNOWN: Final = float("nan")


_WORKER: Final = "this worker"


@dataclass(frozen=True, slots=True)
class _Offset:
    """Of a clock against this worker's, in seconds; the question took twice `within_s`."""

    seconds: float
    within_s: float


class ClockWatch:
    """A probe of /readyz that tells a clock that is off by more than a second, and asks for nothing by itself."""

    def __init__(
        self,
        servers: Mapping[str, Callable[[], Awaitable[datetime | None]]],
        clock: Clock,
        *,
        interval_s: float = INTERVAL_S,
    ) -> None:
        """`servers` give their time, or None where they have none to tell; they may raise anything."""
        self._servers = servers
        self._clock = clock
        self._interval_s = interval_s
        self._offsets: dict[str, _Offset] = {}
        self._told = False

    async def run(self) -> NoReturn:
        """Measure now and then, until cancelled."""
        while True:
            await self.measure()
            await asyncio.sleep(self._interval_s)

    async def measure(self) -> None:
        """Ask each server once. Never raises; one that does not answer is not known."""
        for name, now in self._servers.items():
            self._offsets.pop(name, None)
            offset = await self._ask(now)
            CLOCK_OFFSET.labels(name).set(_NOT_KNOWN if offset is None else offset.seconds)
            if offset is not None:
                self._offsets[name] = offset
        off = self._differences()
        if off and not self._told:
            logger.warning("Set the clocks by NTP: %s", "; ".join(off), extra=LogEvent.CLOCK_OFF.extra)
        self._told = bool(off)

    async def _ask(self, now: Callable[[], Awaitable[datetime | None]]) -> _Offset | None:
        before, began = self._clock.now(), self._clock.monotonic()
        try:
            told = await now()
        except Exception:  # noqa: BLE001 - others tell that it does not answer
            return None
        took_s = self._clock.monotonic() - began
        if told is None:
            return None
        return _Offset((told - before).total_seconds() - took_s / 2, took_s / 2)

    def _differences(self) -> list[str]:
        """Clocks that are more than the limit apart, however the time of the questions is divided."""
        clocks = {_WORKER: _Offset(0.0, 0.0), **self._offsets}
        found = []
        for (one, first), (other, second) in itertools.combinations(clocks.items(), 2):
            apart = second.seconds - first.seconds
            if abs(apart) - first.within_s - second.within_s > LIMIT_S:
                found.append(f"the clock of {other} is {apart:+.1f} s off that of {one}")
        return found

    async def check(self) -> list[DependencyState]:
        """As measured last. Not required: a worker whose clock is off answers as well as any other."""
        off = self._differences()
        agree = (
            f"{', '.join(self._offsets)}: within {LIMIT_S:g} s"
            if self._offsets
            else "no server gave its time"
        )
        return [
            DependencyState(
                name="clocks", ready=not off, required=False, detail="; ".join(off) if off else agree
            )
        ]
