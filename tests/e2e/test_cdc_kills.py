"""Each committed change gives its event, exactly once by its key and in the order of commits, whatever is killed."""

import asyncio
import logging
import os
import random
import signal
from collections import Counter

import pytest

from app.core.failpoints import Hook
from tests.e2e.cdc_pipeline import SERVERS, Pipeline, require_exact, until
from tests.e2e.row_load import RowLoad

pytestmark = [pytest.mark.e2e, pytest.mark.chaos]

logger = logging.getLogger(__name__)

MORE_S = 5.0


async def kill_in_the_middle_of_a_copy(pipeline: Pipeline, load: RowLoad, name: str, *, rows: int) -> None:
    """Kill a server when Connect has sent some of the rows of one COPY, and not all of them."""
    topic = pipeline.settings.topics.cdc
    before = await pipeline.ends(topic)
    await load.copy(rows)

    async def is_in_the_middle() -> bool:
        return await pipeline.ends(topic) > before + rows // 10

    await until(is_in_the_middle)
    await pipeline.kill(name)


@pytest.mark.ci
@pytest.mark.timeout(400)
async def test_one_kill_of_each(pipeline: Pipeline) -> None:
    """A worker between publishing and acknowledging; Connect, the primary and the broker in the middle of a COPY."""
    load = RowLoad(pipeline.dsn, writers=2)
    async with pipeline.running("before-ack:kill:5"):
        await load.start()
        for name in ("connect", "postgres", "kafka"):
            await kill_in_the_middle_of_a_copy(pipeline, load, name, rows=1_500)
        await load.stop()
        await require_exact(pipeline)
        assert len(load.shapes) > 2, "hardly anything happened"
        assert pipeline.deaths[-signal.SIGKILL] >= 1, "the hook was not reached"


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "hook",
    [
        "before-publish",
        pytest.param("mid-publish", marks=pytest.mark.ci),
        "before-ack",
        "before-repeater-commit",
    ],
)
async def test_a_worker_is_killed_at_a_named_place(pipeline: Pipeline, hook: Hook) -> None:
    load = RowLoad(pipeline.dsn, writers=2)
    async with pipeline.running(f"{hook}:kill:4"):
        await load.start()
        await load.copy(1_000)

        async def is_dead() -> bool:
            return pipeline.deaths[-signal.SIGKILL] > 0

        await until(is_dead, within_s=150)
        await load.copy(500)
        await asyncio.sleep(MORE_S)  # a quick machine kills before much was written
        await load.stop()
        await require_exact(pipeline, least_of_one=10)

        async def is_repeated() -> bool:
            return await pipeline.repeated() == await pipeline.ends(pipeline.settings.topics.cdc)

        await until(is_repeated, within_s=60)


@pytest.mark.timeout(500)
async def test_a_minute_of_kills_at_random(pipeline: Pipeline) -> None:
    seed = int(os.environ.get("FAULTS_SEED") or random.SystemRandom().randrange(10**6))
    logger.warning("FAULTS_SEED=%d", seed)
    chance = random.Random(seed)
    load = RowLoad(pipeline.dsn)
    killed: Counter[str] = Counter()
    async with pipeline.running("before-ack:kill:20"):
        await load.start()
        ends_at = asyncio.get_running_loop().time() + 60
        while asyncio.get_running_loop().time() < ends_at:
            await load.copy(chance.randrange(100, 3_000))
            await asyncio.sleep(chance.uniform(0, 3))
            name = chance.choice(["worker", "worker", *SERVERS])
            killed[name] += 1
            if name == "worker":
                pipeline.kill_worker()
            else:
                await pipeline.kill(name)
        await load.stop()
        logger.warning("killed: %s, shapes: %s", dict(killed), dict(load.shapes))
        await require_exact(pipeline)
