"""PostgreSQL and the broker restarted, and connections used up, under load: on servers of the tests' own."""

import asyncio
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import pytest

from app.config.settings import Settings
from tests.e2e.ingestion import (
    PER_TOPIC,
    SMALL_WINDOWS,
    Undisturbed,
    has_written,
    require_undisturbed,
    require_written,
    trickle,
)
from tests.e2e.own_stack import OwnStack
from tests.e2e.workers import Worker

pytestmark = [pytest.mark.e2e, pytest.mark.chaos, pytest.mark.timeout(240)]

SENDING_S = 10.0
FIRST_POINTS = 300
# A crashed server takes a few seconds to come back; what it takes longer is tests/e2e/test_ingestion_faults.py.
PATIENT = {**SMALL_WINDOWS, "PROFILE_FLUSH_MAX_ATTEMPTS": "20"}


async def test_postgresql_crashes_and_recovers(
    own_stack: OwnStack, own_settings: Settings, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    with Worker(own_settings, tmp_path / "worker.log", **PATIENT) as worker:
        sending = asyncio.create_task(trickle(own_settings, PER_TOPIC, within_s=SENDING_S))
        await has_written(own_settings, FIRST_POINTS, within_s=60)
        # "Immediate": as after a loss of power, with recovery from the WAL.
        await asyncio.to_thread(own_stack.stop, "postgres", signal.SIGQUIT)
        await asyncio.sleep(0.5)
        await asyncio.to_thread(own_stack.start, "postgres")
        await require_written(own_settings)
        assert await sending == undisturbed.total
        await require_undisturbed(worker, undisturbed)
    assert "attempt 1 of 20" in worker.log


async def test_connections_used_up(own_settings: Settings, undisturbed: Undisturbed, tmp_path: Path) -> None:
    dsn = own_settings.postgres_dsn.get_secret_value()
    with Worker(own_settings, tmp_path / "worker.log", **PATIENT) as worker:
        sending = asyncio.create_task(trickle(own_settings, PER_TOPIC, within_s=SENDING_S))
        await has_written(own_settings, FIRST_POINTS, within_s=60)
        async with AsyncExitStack() as taken, asyncio.timeout(30):
            first = await asyncpg.connect(dsn)
            taken.push_async_callback(first.close)
            while "SQLSTATE 53300" not in worker.log:
                try:
                    taken.push_async_callback((await asyncpg.connect(dsn)).close)
                except asyncpg.TooManyConnectionsError:
                    await first.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                        "WHERE application_name LIKE 'user-profile %'"
                    )
        assert await sending == undisturbed.total
        await require_undisturbed(worker, undisturbed)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_broker_restarts(
    number: signal.Signals,
    own_stack: OwnStack,
    own_settings: Settings,
    undisturbed: Undisturbed,
    tmp_path: Path,
) -> None:
    with Worker(own_settings, tmp_path / "worker.log", **PATIENT) as worker:
        sending = asyncio.create_task(trickle(own_settings, PER_TOPIC, within_s=SENDING_S))
        await has_written(own_settings, FIRST_POINTS, within_s=60)
        await asyncio.to_thread(own_stack.stop, "kafka", number)
        assert not sending.done(), "there was no load"
        await asyncio.sleep(1)
        await asyncio.to_thread(own_stack.start, "kafka")
        assert await sending == undisturbed.total
        await require_undisturbed(worker, undisturbed)
