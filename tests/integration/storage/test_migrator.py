import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from app.core.errors import FatalError
from infra.settings import InfraSettings
from storage.postgres.migrator import DIRECTORY, migrate, migrations, require_current
from tests.stack import drop_database

pytestmark = pytest.mark.integration


@pytest.fixture
async def empty(postgres_stack: InfraSettings, run_id: str) -> AsyncIterator[str]:
    """The DSN of a database without a schema."""
    name = f"test_{run_id}"
    connection = await asyncpg.connect(postgres_stack.postgres_dsn(database="postgres"))
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    yield postgres_stack.postgres_dsn(database=name)
    await drop_database(postgres_stack, name)


async def test_several_starters_apply_each_file_once(empty: str) -> None:
    with pytest.raises(FatalError, match="python -m app migrate"):
        await require_current(empty)
    applied = await asyncio.gather(*(migrate(empty) for _ in range(3)))
    assert sorted(name for names in applied for name in names) == [
        p.stem for p in sorted(DIRECTORY.glob("*.sql"))
    ]
    await require_current(empty)


SCHEMA = """
SELECT string_agg(line, chr(10) ORDER BY line) FROM (
    SELECT format('%s %s %s %s %s', attrelid::regclass, attname, format_type(atttypid, atttypmod), attnotnull,
                  pg_get_expr(d.adbin, d.adrelid)) AS line
    FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid
    LEFT JOIN pg_attrdef d ON adrelid = attrelid AND adnum = attnum
    WHERE c.relnamespace = 'public'::regnamespace AND attnum > 0
    UNION ALL SELECT format('%s %s', oid::regprocedure, md5(prosrc)) FROM pg_proc
              WHERE pronamespace = 'public'::regnamespace
    UNION ALL SELECT format('%s %s %s', relname, relkind, relreplident) FROM pg_class
              WHERE relnamespace = 'public'::regnamespace
    UNION ALL SELECT format('%s %s', pubname, tablename) FROM pg_publication_tables
    UNION ALL SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_'
    UNION ALL SELECT evtname FROM pg_event_trigger
) AS schema
"""


async def test_a_server_without_pg_partman_gets_the_same_schema(
    empty: str, monkeypatch: pytest.MonkeyPatch, db: Any
) -> None:
    monkeypatch.setattr("storage.postgres.migrator._HAS_PARTMAN", "SELECT false")
    with_it = await db.fetchval(SCHEMA)
    await migrate(empty)
    connection = await asyncpg.connect(empty)
    try:
        assert await connection.fetchval(SCHEMA) == with_it
        assert (
            await connection.fetchval("SELECT count(*) FROM pg_extension WHERE extname = 'pg_partman'") == 0
        )
    finally:
        await connection.close()
    await require_current(empty)


async def test_a_newer_schema_is_accepted_and_a_changed_file_is_not(empty: str, tmp_path: Path) -> None:
    first = tmp_path / "0001_a.sql"
    first.write_text("CREATE TABLE a (id int);")
    (tmp_path / "0002_b.sql").write_text("-- no-transaction\nCREATE INDEX CONCURRENTLY a_id ON a (id);")
    assert await migrate(empty, tmp_path) == ["0001_a", "0002_b"]
    (tmp_path / "0002_b.sql").unlink()
    assert await migrate(empty, tmp_path) == []
    first.write_text("CREATE TABLE a (id bigint);")
    with pytest.raises(FatalError, match="0001_a was changed"):
        await migrate(empty, tmp_path)


async def test_a_file_that_fails_leaves_nothing(empty: str, tmp_path: Path) -> None:
    (tmp_path / "0001_a.sql").write_text("CREATE TABLE a (id int); SELECT 1 / 0;")
    with pytest.raises(FatalError, match="0001_a failed"):
        await migrate(empty, tmp_path)
    (tmp_path / "0001_a.sql").write_text("CREATE TABLE a (id int);")
    assert await migrate(empty, tmp_path) == ["0001_a"]


async def test_a_file_that_was_released_after_a_later_one_is_applied(empty: str, tmp_path: Path) -> None:
    for path in DIRECTORY.glob("*.sql"):
        if path.stem != "0008_provenance":
            (tmp_path / path.name).write_text(path.read_text())
    assert (await migrate(empty, tmp_path))[-1] > "0008"
    with pytest.raises(FatalError, match="needs 0008_provenance"):
        await require_current(empty)
    assert await migrate(empty) == ["0008_provenance"]
    await require_current(empty)


async def test_code_that_a_newer_schema_needs_more_of_is_refused(empty: str, tmp_path: Path) -> None:
    for path in DIRECTORY.glob("*.sql"):
        (tmp_path / path.name).write_text(path.read_text())
    (tmp_path / "9997_adds.sql").write_text("CREATE TABLE added (id int);")
    await migrate(empty, tmp_path)
    await require_current(empty)
    (tmp_path / "9998_removes.sql").write_text(
        f"-- no-transaction\n-- Nobody reads it.\n-- needs: {max(DIRECTORY.glob('*.sql')).stem}\nDROP TABLE added;"
    )
    await migrate(empty, tmp_path)
    await require_current(empty)
    (tmp_path / "9999_removes_more.sql").write_text("-- needs: 9997_adds\nDROP TABLE IF EXISTS added;")
    await migrate(empty, tmp_path)
    for attempt in (require_current, migrate):
        with pytest.raises(FatalError, match="9999_removes_more, after which code needs 9997_adds"):
            await attempt(empty)
    assert await migrate(empty, tmp_path) == []


async def test_a_ledger_of_the_version_before_is_read_and_extended(empty: str, tmp_path: Path) -> None:
    await migrate(empty)
    connection = await asyncpg.connect(empty)
    try:
        await connection.execute("ALTER TABLE schema_migrations DROP COLUMN needs")
        await require_current(empty)
        assert await migrate(empty) == []
        assert await connection.fetchval("SELECT count(*) FROM schema_migrations WHERE needs IS NULL") >= 10
    finally:
        await connection.close()


@pytest.mark.parametrize("needed", ["0001_b", "0002_c", "0003_d"])
def test_a_migration_needs_one_that_is_before_it(tmp_path: Path, needed: str) -> None:
    (tmp_path / "0001_a.sql").write_text(
        "CREATE TABLE a (id int); -- needs: nothing, since this is no header"
    )
    (tmp_path / "0002_c.sql").write_text(f"-- needs: {needed}\nDROP TABLE a;")
    (tmp_path / "0003_d.sql").write_text("CREATE TABLE d (id int);")
    with pytest.raises(FatalError, match=f"0002_c needs {needed}"):
        migrations(tmp_path)
