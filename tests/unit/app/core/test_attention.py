"""Time limits that a late event loop does not use up."""

import asyncio
import time

import pytest
import uvloop

from app.core.attention import attended_timeout

LIMIT_S = 0.08


async def _late_turns(count: int) -> None:
    for _ in range(count):
        time.sleep(LIMIT_S)  # noqa: ASYNC251 - the point
        await asyncio.sleep(0)


async def lateness_uses_up_a_turn() -> None:
    async with attended_timeout(LIMIT_S):
        await _late_turns(5)
    with pytest.raises(TimeoutError):
        async with attended_timeout(LIMIT_S):
            await _late_turns(40)


async def waiting_uses_it_up() -> None:
    for limit_s in (LIMIT_S, 3 * LIMIT_S):
        with pytest.raises(TimeoutError):
            async with attended_timeout(limit_s):
                await asyncio.Event().wait()


async def what_ends_in_time_is_left_alone() -> None:
    async with attended_timeout(LIMIT_S):
        await asyncio.sleep(0)
    await asyncio.sleep(2 * LIMIT_S)
    with pytest.raises(ValueError, match="its own"):
        async with attended_timeout(LIMIT_S):
            raise ValueError("its own")


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize(
    "scenario", [lateness_uses_up_a_turn, waiting_uses_it_up, what_ends_in_time_is_left_alone]
)
def test_on_the_loops_of_tests_and_workers(scenario, loop) -> None:  # type: ignore[no-untyped-def]
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(scenario())
