"""A step that holds the loop is seen by how late the next look comes."""

import asyncio
import time

from app.worker.loop_watch import LoopWatch


async def test_a_step_that_holds_the_loop_is_seen() -> None:
    seen: list[float] = []
    watching = asyncio.create_task(LoopWatch(seen.append, every_s=0.01).run())
    await asyncio.sleep(0.05)
    held_at = len(seen)
    time.sleep(0.2)  # noqa: ASYNC251 - as a step that computes
    await asyncio.sleep(0.05)
    watching.cancel()
    assert max(seen[held_at:]) > 0.15
    assert min(seen) >= 0
