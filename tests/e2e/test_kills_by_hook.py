"""A worker that is killed at a named place, or anywhere, and started again makes the database of an undisturbed run."""

import asyncio
import logging
import os
import random
import signal
from pathlib import Path

import pytest

from app.config.settings import Settings
from app.core.failpoints import Hook
from tests.e2e.ingestion import (
    PER_TOPIC,
    SMALL_WINDOWS,
    Undisturbed,
    finish,
    has_written,
    ingesting,
    require_written,
    trickle,
)
from tests.e2e.workers import Worker
from tests.stack import own_topics

pytestmark = [pytest.mark.e2e, pytest.mark.chaos, pytest.mark.timeout(180)]

logger = logging.getLogger(__name__)

# Of some 45 windows; a moment in which several are under way and offsets of others are committed.
NTH = 12
KILLS: tuple[Hook, ...] = (
    "after-ledger",
    "before-copy",
    "between-entities-and-merge",
    "after-commit",
    "before-ack",
)


@pytest.fixture
def worker_settings(settings: Settings, undisturbed: Undisturbed) -> Settings:
    """A group and a database of one's own, on the topics of the undisturbed run."""
    return ingesting(settings, topic_prefix=undisturbed.topic_prefix)


@pytest.mark.ci
@pytest.mark.parametrize("hook", KILLS)
async def test_killed_at_a_named_place(
    hook: Hook, worker_settings: Settings, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    with Worker(
        worker_settings, tmp_path / "killed.log", PROFILE_HOOKS=f"{hook}:kill:{NTH}", **SMALL_WINDOWS
    ) as worker:
        assert await worker.exit_code(within_s=60) == -signal.SIGKILL
    assert f"hook {hook}: kill" in worker.log
    assert 0 < await require_written(worker_settings) < undisturbed.total, "it was not killed in the middle"
    await finish(worker_settings, undisturbed, tmp_path / "again.log")


@pytest.fixture
def chance() -> random.Random:
    """Moments by chance; FAULTS_SEED repeats those of an earlier run."""
    seed = int(os.environ.get("FAULTS_SEED") or random.SystemRandom().randrange(10**6))
    logger.warning("FAULTS_SEED=%d", seed)  # which pytest shows for a test that fails
    return random.Random(seed)


@pytest.mark.ci
async def test_killed_anywhere(
    worker_settings: Settings, undisturbed: Undisturbed, chance: random.Random, tmp_path: Path
) -> None:
    points = undisturbed.fingerprint["temporal"][0]
    with Worker(worker_settings, tmp_path / "killed.log", **SMALL_WINDOWS) as worker:
        await has_written(worker_settings, chance.randrange(1, points * 3 // 4), within_s=60)
        worker.kill()
    await require_written(worker_settings)
    await finish(worker_settings, undisturbed, tmp_path / "again.log")


async def test_killed_again_and_again_for_a_minute(
    settings: Settings, undisturbed: Undisturbed, chance: random.Random, tmp_path: Path
) -> None:
    own = ingesting(settings)
    kills = 0
    async with own_topics(own):
        sending = asyncio.create_task(trickle(own, PER_TOPIC, within_s=60))
        while not sending.done():
            with Worker(own, tmp_path / "killed.log", **SMALL_WINDOWS) as worker:
                # A killed member holds its partitions for ten seconds more.
                await asyncio.wait({sending}, timeout=chance.uniform(3, 20))
                worker.kill()
                kills += 1
            await require_written(own)
        assert await sending == undisturbed.total
        await finish(own, undisturbed, tmp_path / "again.log")
    assert kills >= 3
