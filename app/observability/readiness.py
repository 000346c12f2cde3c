"""The states of probes, asked side by side and bounded in time: in the background, so that no question costs one."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from app.core.attention import attended_timeout
from app.core.clock import Clock
from app.ports.health import DependencyState, Probe

logger = logging.getLogger(__name__)

PROBE_TIMEOUT_S: Final = 2.0
EVERY_S: Final = 1.0
_STALE_S: Final = 10.0


class Readiness:
    """What the probes told last. `every_s` 0 asks them for each question, which tests do."""

    def __init__(self, probes: Sequence[Probe], clock: Clock, *, every_s: float = EVERY_S) -> None:
        self._probes = probes
        self._clock = clock
        self._every_s = every_s
        self._states: list[DependencyState] = []
        self._asked_at = clock.monotonic()
        self._was_asked = asyncio.Event()

    async def run(self) -> None:
        """Ask again and again, until cancelled."""
        while self._every_s:
            await self._ask()
            await asyncio.sleep(self._every_s)

    async def states(self) -> list[DependencyState]:
        """Of each dependency, a second old or two. Waits for the first asking alone, and raises nothing."""
        if not self._every_s:
            await self._ask()
        elif not self._was_asked.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(2 * PROBE_TIMEOUT_S):
                    await self._was_asked.wait()
        age_s = self._clock.monotonic() - self._asked_at
        if self._was_asked.is_set() and age_s <= _STALE_S:
            return self._states
        late = DependencyState(
            name="probes", ready=False, required=True, detail=f"the last round ended {age_s:.0f} s ago"
        )
        return [*self._states, late]

    async def _ask(self) -> None:
        self._states = await states_of(self._probes)
        self._asked_at = self._clock.monotonic()
        self._was_asked.set()


async def states_of(probes: Sequence[Probe], *, limit_s: float | None = None) -> list[DependencyState]:
    """Every state that the probes tell. Raises nothing: one that breaks, or is late, is a state that is not ready."""
    told = await asyncio.gather(*(_ask(probe, limit_s or PROBE_TIMEOUT_S) for probe in probes))
    return [state for states in told for state in states]


async def _ask(probe: Probe, limit_s: float) -> list[DependencyState]:
    name = type(probe).__name__
    try:
        async with attended_timeout(limit_s):
            return await probe.check()
    except TimeoutError:
        detail = f"no answer within {limit_s:g} s"
    except Exception as error:  # noqa: BLE001 - a probe that breaks is a dependency that is not ready
        detail = f"the probe failed with {type(error).__name__}"
    logger.warning("%s: %s", name, detail)
    return [DependencyState(name=name, ready=False, required=True, detail=detail)]
