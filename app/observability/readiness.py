"""The states of probes, asked side by side and bounded in time."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from app.core.attention import attended_timeout
from app.ports.health import DependencyState, Probe

logger = logging.getLogger(__name__)

PROBE_TIMEOUT_S: Final = 2.0


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
