"""How often the primary and the replicas were asked the read queries, from pg_stat_statements."""

import asyncio
from typing import Final

import asyncpg

from app.config.settings import Settings
from load.errors import LoadError
from storage.postgres.queries import query

_QUERIES: Final = ("graph", "ids_by_property", "id_by_key")
_CALLS: Final = """
    SELECT coalesce(sum(calls), 0)::bigint
    FROM pg_stat_statements
    WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND rtrim(query, E' ;\\n') = ANY ($1::text[])"""
_REPLAYED_S: Final = 10.0


def prepare(settings: Settings) -> None:
    """Create the extension in the database of the settings. Raises LoadError where it can't be used."""
    asyncio.run(_prepare(settings))


def calls(settings: Settings) -> int:
    """All calls so far, of all servers together; positions and other small questions are not counted."""
    return asyncio.run(_calls(settings))


async def _prepare(settings: Settings) -> None:
    connection = await asyncpg.connect(settings.postgres_dsn.get_secret_value())
    try:
        await connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
    except asyncpg.PostgresError as error:
        raise LoadError(
            f"pg_stat_statements can't be created ({error}); let a superuser run CREATE EXTENSION."
        ) from None
    finally:
        await connection.close()
    async with asyncio.timeout(_REPLAYED_S):
        while True:
            try:
                await _calls(settings)
            except asyncpg.UndefinedTableError:
                await asyncio.sleep(0.1)  # until the replicas have it
            except asyncpg.PostgresError as error:
                raise LoadError(f"pg_stat_statements can't be read: {error}.") from None
            else:
                return


async def _calls(settings: Settings) -> int:
    texts = [query(name).rstrip(" ;\n") for name in _QUERIES]
    total = 0
    for dsn in [settings.postgres_dsn, *settings.postgres_replica_dsns]:
        connection = await asyncpg.connect(dsn.get_secret_value())
        try:
            total += await connection.fetchval(_CALLS, texts)
        finally:
            await connection.close()
    return total
