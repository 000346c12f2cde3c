"""Points move from monthly partitions into one table while workers write: nothing is lost, and no event is made."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Any, Final

import asyncpg
import pytest

from app.core.errors import FatalError, TransientError
from infra.settings import InfraSettings
from storage.postgres.migrator import DIRECTORY, migrate
from tests.stack import drop_database

pytestmark = pytest.mark.integration

ENTITIES: Final = 60
BEFORE: Final = "0020"  # migrations from here on move the points
FILL: Final = """
SELECT ensure_temporal_partitions(ARRAY(SELECT generate_series('2024-01-01Z'::timestamptz, '2024-12-01Z', '1 month')));
INSERT INTO temporal_properties (entity_id, key, granularity, period_start, reference_date, value, idempotency_key)
SELECT e, k, 'month', m, m, '0', concat_ws(':', e, k, m)
FROM generate_series(1, 60) e, unnest(ARRAY['a', 'b']) k,
     generate_series('2023-06-01Z'::timestamptz, '2024-12-01Z', '1 month') m;
"""
# As the writer of each version does it, and an erasure.
WRITE: Final = """
INSERT INTO temporal_properties AS t
    (entity_id, key, granularity, period_start, reference_date, version, value, idempotency_key)
SELECT e, 'a', 'month', m::timestamptz, m::timestamptz, $3, to_jsonb($3::bigint), ''
FROM unnest($1::bigint[], $2::text[]) AS r (e, m)
ORDER BY e, m
ON CONFLICT (entity_id, key, granularity, period_start) DO UPDATE
SET version = excluded.version, value = excluded.value, updated_at = now()
RETURNING CASE WHEN created_at = now() THEN 'I' ELSE 'U' END AS kind
"""
ROWS: Final = (
    "SELECT entity_id, key, period_start, version, value, idempotency_key, created_at, updated_at FROM {}"
)


@pytest.fixture
async def dsn(postgres_stack: InfraSettings, run_id: str, tmp_path: Path) -> AsyncIterator[str]:
    """The DSN of a database with points in monthly partitions."""
    name = f"test_{run_id}"
    server = await asyncpg.connect(postgres_stack.postgres_dsn(database="postgres"))
    await server.execute(f"CREATE DATABASE {name}")
    found = postgres_stack.postgres_dsn(database=name)
    await migrate(found, up_to(tmp_path, BEFORE))
    connection = await asyncpg.connect(found)
    await connection.execute(FILL)
    await connection.close()
    yield found
    for slot in await server.fetch("SELECT slot_name FROM pg_replication_slots WHERE database = $1", name):
        await server.execute("SELECT pg_drop_replication_slot($1)", slot["slot_name"])
    await server.close()
    await drop_database(postgres_stack, name)


def up_to(into: Path, number: str) -> Path:
    """The migrations before this one."""
    for path in DIRECTORY.glob("*.sql"):
        if path.stem < number:
            (into / path.name).write_text(path.read_text())
    return into


class Writing:
    """A worker: writes random points and erases entities, and counts the rows that it changed."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._random = Random(4)
        self.changes: Counter[str] = Counter()
        self.stop = False

    async def run(self) -> None:
        connection = await asyncpg.connect(self._dsn)
        step = 0
        while not self.stop or step < 40:
            step += 1
            months = [f"{self._random.choice((2022, 2023, 2024))}-{n:02}-01Z" for n in range(1, 13)]
            entities = [self._random.randint(1, ENTITIES + 5) for _ in months]
            async with connection.transaction():
                await connection.fetchval("SELECT begin_writing()")
                await connection.execute(
                    "SELECT ensure_temporal_partitions($1::text[]::timestamptz[])", months
                )
                written = await connection.fetch(WRITE, entities, months, step)
            self.changes.update(row["kind"] for row in written)
            if step % 10 == 0:
                await self._erase(connection, self._random.randint(1, ENTITIES))
            await asyncio.sleep(0)
        await connection.close()

    async def _erase(self, connection: Any, entity: int) -> None:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(writers_lock())")
            for kind, statement in (("U", "UPDATE {} SET erased = true"), ("D", "DELETE FROM {}")):
                done = await connection.execute(
                    f"{statement.format('temporal_properties')} WHERE entity_id = $1", entity
                )
                self.changes[kind] += int(done.split()[-1])


async def published(connection: Any, slot: str) -> Counter[str]:
    """Inserts, updates and deletes that a consumer of the publication gets."""
    messages = await connection.fetch(
        "SELECT data FROM pg_logical_slot_get_binary_changes($1, NULL, NULL, 'proto_version', '1', "
        "'publication_names', 'user_profile_cdc')",
        slot,
    )
    kinds = Counter(bytes(row["data"][:1]).decode() for row in messages)
    return Counter({kind: kinds[kind] for kind in "IUD"})


async def test_it_goes_on_beside_writers_and_after_an_interruption(dsn: str, tmp_path: Path) -> None:
    db = await asyncpg.connect(dsn)
    await db.execute(
        "SELECT pg_create_logical_replication_slot($1, 'pgoutput')", slot := f"s{db.get_server_pid()}"
    )
    writing = Writing(dsn)
    work = asyncio.create_task(writing.run())
    first = up_to(tmp_path, "0021")
    assert await migrate(dsn, first) == ["0020_point_copies"]
    copying = await asyncpg.connect(dsn)
    copy = asyncio.create_task(copying.execute("CALL copy_points(at_once => 20, patience => '1 min')"))
    async with asyncio.timeout(30):
        while not await db.fetchval("SELECT entity_id > 10 FROM points_copied"):  # noqa: ASYNC110
            await asyncio.sleep(0)
    await db.execute("SELECT pg_terminate_backend($1)", copying.get_server_pid())
    with pytest.raises((asyncpg.PostgresError, ConnectionError)):
        await copy
    assert 10 < await db.fetchval("SELECT entity_id FROM points_copied") < ENTITIES
    await migrate(dsn, up_to(tmp_path, "0022"))
    writing.stop = True
    await work
    before = sorted(await db.fetch(ROWS.format("temporal_properties")))
    assert sorted(await db.fetch(ROWS.format("points"))) == before
    assert await migrate(dsn, up_to(tmp_path, "0023")) == ["0022_points_in_one_table"]
    assert sorted(await db.fetch(ROWS.format("temporal_properties"))) == before
    assert await published(db, slot) == writing.changes, (
        "what the worker did, each once, and nothing of the move"
    )
    again = Writing(dsn)
    again.stop = True
    await again.run()
    assert await published(db, slot) == again.changes
    await db.close()


async def test_the_swap_takes_place_between_transactions_of_workers(dsn: str) -> None:
    db = await asyncpg.connect(dsn)
    await db.execute(
        "SELECT pg_create_logical_replication_slot($1, 'pgoutput')", slot := f"s{db.get_server_pid()}"
    )
    writing = Writing(dsn)
    work = asyncio.create_task(writing.run())
    assert "0022_points_in_one_table" in await migrate(dsn)
    writing.stop = True
    await work
    assert await published(db, slot) == writing.changes
    rows = await db.fetchval("SELECT count(*) FROM temporal_properties")
    assert rows == ENTITIES * 2 * 19 + writing.changes["I"] - writing.changes["D"]
    assert await db.fetchval("SELECT to_regclass('temporal_properties_by_month')") is None
    await db.close()


async def test_it_waits_for_replication_slots_and_says_which_one_does_not_move(
    dsn: str, tmp_path: Path
) -> None:
    db = await asyncpg.connect(dsn)
    await migrate(dsn, up_to(tmp_path, "0021"))
    slot = "CREATE OR REPLACE FUNCTION fullest_slot(OUT name text, OUT held bigint, OUT allowed bigint) "
    slot += "RETURNS SETOF record LANGUAGE sql AS $$ {} $$"
    await db.execute(slot.format("VALUES ('lagging', 3000000::bigint, 2000000::bigint)"))
    (tmp_path / "0021_copy_points.sql").write_text(
        "-- no-transaction\nCALL copy_points(at_once => 100, patience => '0.3 s');"
    )
    with pytest.raises(
        FatalError, match="slot lagging holds 2 MB of WAL and does not move: start its connector"
    ):
        await migrate(dsn, tmp_path)
    assert await db.fetchval("SELECT count(*) FROM points") == 100, "one transaction's"
    await db.execute(slot.format("SELECT ''::text, 0::bigint, 0::bigint LIMIT 0"))
    await migrate(dsn, tmp_path)
    assert await db.fetchval("SELECT count(*) FROM points") == ENTITIES * 2 * 19
    await db.close()


async def test_what_is_being_erased_is_not_copied_back(dsn: str, tmp_path: Path) -> None:
    db, erasing, copying = [await asyncpg.connect(dsn) for _ in range(3)]
    await migrate(dsn, up_to(tmp_path, "0021"))
    async with erasing.transaction():
        await erasing.execute("SELECT pg_advisory_xact_lock(writers_lock())")
        await erasing.execute("DELETE FROM temporal_properties WHERE entity_id = 3")
        copy = asyncio.create_task(copying.execute("CALL copy_points(at_once => 10000, patience => '1 min')"))
        waits = "SELECT wait_event_type IN ('Lock', 'Client') FROM pg_stat_activity WHERE pid = $1 AND query ~ 'CALL'"
        async with asyncio.timeout(20):
            while not await db.fetchval(waits, copying.get_server_pid()):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    await copy
    assert await db.fetchval("SELECT count(*) FROM points WHERE entity_id = 3") == 0
    assert await db.fetchval("SELECT count(*) FROM points") == (ENTITIES - 1) * 2 * 19
    for connection in (db, erasing, copying):
        await connection.close()


async def test_partitions_are_dropped_after_an_interruption(dsn: str, tmp_path: Path) -> None:
    db, looking = [await asyncpg.connect(dsn) for _ in range(2)]
    await migrate(dsn, up_to(tmp_path, "0022"))
    left = "SELECT count(*) FROM pg_inherits WHERE inhparent = to_regclass('temporal_properties_by_month')"
    async with looking.transaction():
        await looking.fetch("SELECT FROM temporal_properties WHERE period_start >= '2024-12-01Z' LIMIT 1")
        partition = await looking.fetchval(
            "SELECT relation::regclass::text FROM pg_locks WHERE pid = pg_backend_pid() "
            "AND relation::regclass::text ~ '2024_12$|202412'"
        )
        await looking.execute("ROLLBACK; BEGIN")
        await looking.execute(f"LOCK TABLE {partition} IN ACCESS SHARE MODE")
        migrating = asyncio.create_task(migrate(dsn))
        blocked = (
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        async with asyncio.timeout(30):
            while (pid := await db.fetchval(blocked)) is None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert await db.fetchval("SELECT count(*) FROM temporal_properties") == ENTITIES * 2 * 19, (
            "it is in its place"
        )
        await db.execute("SELECT pg_terminate_backend($1)", pid)
        with pytest.raises((FatalError, TransientError, asyncpg.PostgresError, OSError)):
            await migrating
    assert await db.fetchval(left) > 0
    assert (await migrate(dsn))[0] == "0022_points_in_one_table"
    assert await db.fetchval(
        "SELECT to_regclass('temporal_properties_by_month') IS NULL AND to_regnamespace('partman') IS NULL"
    )
    await db.close()
    await looking.close()
