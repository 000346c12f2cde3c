"""Tests take databases of each other: a test finds no row and no slot of another, and a changed schema is dropped."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from infra.settings import InfraSettings
from tests.databases import Databases

pytestmark = pytest.mark.integration
ENTITY = "INSERT INTO entities (type, reference) VALUES ('user', 'a') RETURNING id"


@pytest.fixture
async def databases(postgres_stack: InfraSettings) -> AsyncIterator[Databases]:
    made = Databases(postgres_stack)
    yield made
    await made.close()


async def connected(stack: InfraSettings, name: str, node: int = 0) -> "asyncpg.Connection[asyncpg.Record]":
    return await asyncpg.connect(stack.postgres_dsn(node, database=name))


async def test_the_next_test_finds_no_row_number_or_slot(
    databases: Databases, postgres_stack: InfraSettings
) -> None:
    async with databases.one() as first:
        connection = await connected(postgres_stack, first)
        assert await connection.fetchval(ENTITY) == 1
        await connection.execute("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", first)

    async with databases.one() as second:
        assert second == first
        with pytest.raises(
            (asyncpg.PostgresConnectionError, asyncpg.InterfaceError)
        ):  # its server has ended it
            await connection.execute("SELECT 1")
        replica = await connected(postgres_stack, second, node=1)
        assert await replica.fetchval("SELECT count(*) FROM entities") == 0
        await replica.close()
        connection = await connected(postgres_stack, second)
        assert (
            await connection.fetchval("SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1", first)
            == 0
        )
        assert await connection.fetchval(ENTITY) == 1
        await connection.close()


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE entities ADD COLUMN note text",
        "ALTER TABLE entities REPLICA IDENTITY DEFAULT",
        "CREATE OR REPLACE FUNCTION writers_lock() RETURNS bigint LANGUAGE sql AS 'SELECT 7::bigint'",
        "ALTER PUBLICATION user_profile_cdc DROP TABLE edges",
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET work_mem = 65', current_database()); END $$",
    ],
)
async def test_a_database_with_another_schema_is_dropped(
    databases: Databases, postgres_stack: InfraSettings, change: str
) -> None:
    async with databases.one() as first:
        connection = await connected(postgres_stack, first)
        await connection.execute(change)
        await connection.close()

    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await connected(postgres_stack, first)
