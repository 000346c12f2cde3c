"""PostgreSQL that fails in each of its ways while a worker writes, and exceptions in our own code."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app.config.settings import Settings
from app.core.process import EX_SOFTWARE
from infra.settings import InfraSettings
from tests.e2e.ingestion import (
    SMALL_WINDOWS,
    Undisturbed,
    finish,
    has_written,
    ingesting,
    require_undisturbed,
    require_written,
)
from tests.e2e.workers import Worker, until_logged
from tests.proxy import Mode, Proxy, proxied
from tests.stack import with_primary

pytestmark = [pytest.mark.e2e, pytest.mark.chaos, pytest.mark.timeout(180)]

FIRST_POINTS = 300  # written before the fault, of some 3,000


@pytest.fixture
def direct(settings: Settings, undisturbed: Undisturbed) -> Settings:
    """A group and a database of one's own, on the topics of the undisturbed run."""
    return ingesting(settings, topic_prefix=undisturbed.topic_prefix)


@pytest.fixture
async def proxy(postgres_stack: InfraSettings) -> AsyncIterator[Proxy]:
    """Stands before the primary."""
    async with proxied("127.0.0.1", postgres_stack.postgres_ports[0]) as between:
        yield between


@pytest.fixture
def behind(direct: Settings, proxy: Proxy, postgres_stack: InfraSettings) -> Settings:
    """The same as `direct`, through the proxy."""
    port = f":{postgres_stack.postgres_ports[0]}/"
    assert port in direct.postgres_dsn.get_secret_value()
    return with_primary(direct, lambda dsn: dsn.replace(port, f":{proxy.port}/"))


def require_one_line(worker: Worker, *causes: str) -> None:
    """The log has one critical line, with these words."""
    lines = [line for line in worker.log.splitlines() if "without committing" in line]
    assert len(lines) == 1, worker.log[-3000:]
    assert all(cause in lines[0] for cause in causes), lines


@pytest.mark.parametrize(("mode", "cause"), [("refuse", "PostgreSQL"), ("hang", "did not answer in time")])
async def test_postgresql_away_for_longer_than_the_retries(
    *,
    mode: Mode,
    cause: str,
    behind: Settings,
    direct: Settings,
    proxy: Proxy,
    undisturbed: Undisturbed,
    tmp_path: Path,
) -> None:
    impatient = {
        "PROFILE_FLUSH_MAX_ATTEMPTS": "4",
        "PROFILE_POSTGRES_COMMAND_TIMEOUT_S": "1",
        "PROFILE_POSTGRES_ACQUIRE_TIMEOUT_S": "1",
    }
    with Worker(behind, tmp_path / "away.log", **SMALL_WINDOWS, **impatient) as worker:
        await has_written(direct, FIRST_POINTS, within_s=60)
        proxy.set(mode)
        assert await worker.exit_code(within_s=60) == EX_SOFTWARE
    require_one_line(worker, "failed 4 times", cause)
    assert "Traceback" not in worker.log
    assert await require_written(direct) < undisturbed.total
    await finish(direct, undisturbed, tmp_path / "again.log")


async def test_postgresql_away_for_shorter_than_the_retries(
    behind: Settings, direct: Settings, proxy: Proxy, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    with Worker(behind, tmp_path / "worker.log", **SMALL_WINDOWS) as worker:
        for points in (FIRST_POINTS, 2 * FIRST_POINTS, 4 * FIRST_POINTS):
            await has_written(direct, points, within_s=60)
            proxy.set("refuse")
            await asyncio.sleep(0.5)
            proxy.set("pass")
        await require_undisturbed(worker, undisturbed)
    assert "attempt 1 of 8" in worker.log


async def test_address_that_leads_to_a_server_in_recovery(
    *,
    behind: Settings,
    direct: Settings,
    proxy: Proxy,
    postgres_stack: InfraSettings,
    undisturbed: Undisturbed,
    tmp_path: Path,
) -> None:
    with Worker(behind, tmp_path / "worker.log", **SMALL_WINDOWS) as worker:
        await has_written(direct, FIRST_POINTS, within_s=60)
        proxy.move("127.0.0.1", postgres_stack.postgres_ports[1])
        await until_logged(worker, "SQLSTATE 25006")
        proxy.move("127.0.0.1", postgres_stack.postgres_ports[0])
        await require_undisturbed(worker, undisturbed)


async def test_read_only_database(
    direct: Settings, db: Any, database: str, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    with Worker(direct, tmp_path / "worker.log", **SMALL_WINDOWS) as worker:
        await has_written(direct, FIRST_POINTS, within_s=60)
        await db.execute(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
        await end_sessions(db)
        await until_logged(worker, "SQLSTATE 25006")
        await db.execute(f"ALTER DATABASE {database} RESET default_transaction_read_only")
        await require_undisturbed(worker, undisturbed)


async def end_sessions(db: Any) -> None:
    await db.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )


@pytest.mark.parametrize(
    ("by", "cause"), [("worker", "did not answer in time"), ("server", "SQLSTATE 57014")]
)
async def test_statements_that_wait_for_a_lock_are_given_up_and_repeated(
    *,
    by: str,
    cause: str,
    direct: Settings,
    db: Any,
    undisturbed: Undisturbed,
    tmp_path: Path,
) -> None:
    limit = {"PROFILE_POSTGRES_COMMAND_TIMEOUT_S": "1" if by == "worker" else "30"}
    with Worker(direct, tmp_path / "worker.log", **SMALL_WINDOWS, **limit) as worker:
        await has_written(direct, FIRST_POINTS, within_s=60)
        async with db.transaction():
            await db.execute("LOCK TABLE edges")
            await has_waiting(db)
            if by == "server":
                # As a statement_timeout does, and with its SQLSTATE.
                await db.execute(
                    "SELECT pg_cancel_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND wait_event_type = 'Lock'"
                )
            await until_logged(worker, cause)
        await require_undisturbed(worker, undisturbed)


async def has_waiting(db: Any) -> None:
    """Wait until a session of this database waits for a lock."""
    async with asyncio.timeout(20):
        while True:
            if await db.fetchval(
                "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database "
                "WHERE d.datname = current_database() AND NOT granted"
            ):
                return
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("table", ["entities", "edges", "temporal_properties"])
async def test_deadlocks_and_serialization_failures_are_repeated(
    table: str, direct: Settings, db: Any, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    # Each third statement, whose number no rollback takes back, until there were six.
    await db.execute(
        f"""
        CREATE SEQUENCE statements;
        CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
        DECLARE number bigint := nextval('statements');
        BEGIN
            IF number IN (3, 9, 15) THEN
                RAISE EXCEPTION 'deadlock of the test' USING ERRCODE = '40P01';
            ELSIF number IN (6, 12, 18) THEN
                RAISE EXCEPTION 'serialization failure of the test' USING ERRCODE = '40001';
            END IF;
            RETURN NULL;
        END $$;
        CREATE TRIGGER fail BEFORE INSERT ON {table} FOR EACH STATEMENT EXECUTE FUNCTION fail();
        """
    )
    with Worker(direct, tmp_path / "worker.log", **SMALL_WINDOWS) as worker:
        await require_undisturbed(worker, undisturbed)
    for state in ("40P01", "40001"):
        assert worker.log.count(f"SQLSTATE {state}") == 3


@pytest.mark.parametrize("place", ["decode:700", "fold:20", "flush:20", "ack:20"])
async def test_exception_in_our_own_code_ends_the_process_without_committing(
    place: str, direct: Settings, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    with Worker(
        direct, tmp_path / "broken.log", app="tests.e2e.broken", BROKEN=place, **SMALL_WINDOWS
    ) as worker:
        assert await worker.exit_code(within_s=60) == EX_SOFTWARE
    require_one_line(worker, "unexpected RuntimeError; this is a bug")
    assert "quoted a record" not in worker.log
    assert await require_written(direct) < undisturbed.total
    await finish(direct, undisturbed, tmp_path / "again.log")
