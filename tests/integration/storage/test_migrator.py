import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from app.core.errors import FatalError
from infra.settings import InfraSettings
from storage.postgres.migrator import DIRECTORY, migrate, require_current
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
