"""Several workers of one group: rebalances in the middle of a flush, rolling restarts, and what they gain."""

import asyncio
import itertools
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from app.config.settings import Settings
from app.config.topics import TopicNames
from tests.e2e.ingestion import (
    PER_TOPIC,
    SMALL_WINDOWS,
    Undisturbed,
    fill,
    finish,
    has_written,
    ingesting,
    require_undisturbed,
    require_written,
    trickle,
)
from tests.e2e.workers import Worker, fingerprint, until_logged

pytestmark = [pytest.mark.e2e, pytest.mark.chaos, pytest.mark.timeout(240)]

ASSIGNED = "Executing _on_partitions_assigned"
REBALANCING = "Heartbeat failed for group"


@pytest.fixture
def own(settings: Settings) -> Settings:
    return ingesting(settings)


@pytest.fixture
def hold(tmp_path: Path) -> Path:
    """While this file exists, a flush stays at its hook."""
    path = tmp_path / "hold"
    path.touch()
    return path


def release(hold: Path) -> None:
    hold.unlink()


@pytest.mark.parametrize("hook", ["between-entities-and-merge", "before-ack"])
async def test_second_worker_joins_during_a_flush_and_leaves(
    *,
    hook: str,
    own: Settings,
    topics: TopicNames,
    undisturbed: Undisturbed,
    hold: Path,
    tmp_path: Path,
) -> None:
    held = {"PROFILE_HOOKS": f"{hook}:hold:9", "PROFILE_HOOKS_HOLD": str(hold)}
    with Worker(own, tmp_path / "first.log", **SMALL_WINDOWS, **held) as first:
        sending = asyncio.create_task(trickle(own, PER_TOPIC, within_s=20))
        await until_logged(first, f"hook {hook}: hold")
        with Worker(own, tmp_path / "second.log", **SMALL_WINDOWS) as second:
            await until_logged(first, REBALANCING)
            await asyncio.sleep(2)
            assert ASSIGNED not in second.log, "the rebalance did not wait for the flush"
            release(hold)
            await until_logged(second, ASSIGNED)
            await require_written(own)
            assert not sending.done(), "there was no load"
            assert await second.terminate(within_s=20) == 0
        assert await sending == undisturbed.total
        await require_undisturbed(first, undisturbed)


async def test_rolling_restart_under_load(
    own: Settings, topics: TopicNames, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    names = (tmp_path / f"{number}.log" for number in itertools.count())
    with ExitStack() as started:

        async def another() -> Worker:
            worker = started.enter_context(Worker(own, next(names), **SMALL_WINDOWS))
            await until_logged(worker, ASSIGNED)
            return worker

        running = [await another(), await another()]
        sending = asyncio.create_task(trickle(own, PER_TOPIC, within_s=25))
        await has_written(own, 1, within_s=30)
        for _ in range(2):
            assert await running.pop(0).terminate(within_s=30) == 0
            await require_written(own)
            running.append(await another())
        assert not sending.done(), "there was no load"
        assert await sending == undisturbed.total
        await running[0].has_committed(topics.normalised, undisturbed.total, within_s=60)
        for worker in running:
            assert await worker.terminate(within_s=30) == 0
    assert await fingerprint(own.postgres_dsn.get_secret_value()) == undisturbed.fingerprint


async def test_sigterm_with_a_full_window_behind_an_open_flush(
    *,
    settings: Settings,
    undisturbed: Undisturbed,
    hold: Path,
    tmp_path: Path,
) -> None:
    own = ingesting(settings, topic_prefix=undisturbed.topic_prefix)
    full = {
        "PROFILE_FLUSHES_IN_FLIGHT": "1",
        "PROFILE_HOOKS": "before-copy:hold",
        "PROFILE_HOOKS_HOLD": str(hold),
    }
    with Worker(own, tmp_path / "worker.log", **SMALL_WINDOWS, **full) as worker:
        await until_logged(worker, "hook before-copy: hold")
        await asyncio.sleep(1)  # the window behind it fills, and the buffers behind that
        leaving = asyncio.create_task(worker.terminate(within_s=30))
        await asyncio.sleep(2)
        assert not leaving.done(), "it left with an open flush"
        release(hold)
        assert await leaving == 0
    assert await require_written(own) > 0
    await finish(own, undisturbed, tmp_path / "again.log")


@pytest.fixture
async def slow_database(db: Any) -> None:
    """Each flush takes a fifth of a second at least, which is no work: so the workers' number limits the rate."""
    await db.execute(
        """
        CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_sleep(0.2); RETURN NULL; END $$;
        CREATE TRIGGER wait BEFORE INSERT ON entities FOR EACH STATEMENT EXECUTE FUNCTION wait();
        """
    )


@pytest.mark.usefixtures("slow_database")
async def test_throughput_grows_with_workers_up_to_the_partitions(
    own: Settings, topics: TopicNames, db: Any, tmp_path: Path
) -> None:
    # One flush at a time of each agent, and the topics have two partitions.
    windows = {**SMALL_WINDOWS, "PROFILE_FLUSHES_IN_FLIGHT": "1"}
    seconds: dict[int, float] = {}
    total = 0
    with ExitStack() as started:
        for number in (1, 2, 3):
            worker = started.enter_context(Worker(own, tmp_path / f"{number}.log", **windows))
            await until_logged(worker, ASSIGNED)
            await asyncio.sleep(3)  # the others have their partitions, too
            await db.execute("TRUNCATE entities, edges, temporal_properties")
            total += await fill(own, PER_TOPIC)
            began = time.monotonic()
            await worker.has_committed(topics.normalised, total, within_s=60)
            seconds[number] = time.monotonic() - began
    print("seconds by workers:", {number: round(taken, 1) for number, taken in seconds.items()})  # noqa: T201
    assert seconds[2] < seconds[1] / 1.5
    assert seconds[3] < seconds[2] * 1.5
