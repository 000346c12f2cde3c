"""Migrated databases for one test after the other: what a test leaves as it was made is emptied and used again.

A copy of the template writes 5 MB of WAL and 300 files, three times with the replicas; emptying a database
writes those of the tables that were filled, and drops partitions that a writer made. A test that changed anything
else (a column, a function, a setting of the database) leaves a database that is dropped.
"""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import asyncpg

from infra.settings import InfraSettings
from tests.stack import create_database, drop_database, drop_slots, wait_for_replicas

# Copies of a template have its object identifiers and transaction ids, so an equal print is an equal schema.
# TRUNCATE changes rows of pg_class, hence the columns of that.
_PRINT: Final = """
    SELECT md5(string_agg(line, ' ' ORDER BY line)) FROM (
        SELECT format('%s %s %s %s', tableoid, attrelid, attnum, xmin) FROM pg_attribute WHERE attrelid >= 16384
        UNION ALL SELECT format('%s %s %s', tableoid, oid, xmin) FROM pg_proc WHERE oid >= 16384
        UNION ALL SELECT format('%s %s %s', tableoid, oid, xmin) FROM pg_type WHERE oid >= 16384
        UNION ALL SELECT format('%s %s %s', tableoid, oid, xmin) FROM pg_constraint WHERE oid >= 16384
        UNION ALL SELECT format('%s %s %s', tableoid, oid, xmin) FROM pg_trigger
        UNION ALL SELECT format('%s %s %s', tableoid, oid, xmin) FROM pg_event_trigger
        UNION ALL SELECT format('%s %s %s', tableoid, oid, xmin) FROM pg_attrdef
        -- A session's first temporary table makes two of these, which stay.
        UNION ALL SELECT format('%s %s %s', tableoid, oid, xmin) FROM pg_namespace
                  WHERE nspname !~ '^pg_(toast_)?temp_'
        UNION ALL SELECT format('%s %s %s', tableoid, oid, xmin) FROM pg_extension
        UNION ALL SELECT format('%s %s %s', tableoid, oid, xmin) FROM pg_publication
        UNION ALL SELECT format('%s %s %s', tableoid, oid, xmin) FROM pg_publication_rel
        UNION ALL SELECT format('%s %s %s', tableoid, oid, xmin) FROM pg_publication_namespace
        UNION ALL SELECT format('%s %s %s', tableoid, oid, xmin) FROM pg_statistic_ext
        UNION ALL SELECT format('%s %s %s', tableoid, oid, xmin) FROM pg_policy
        UNION ALL SELECT format('%s %s %s', tableoid, oid, xmin) FROM pg_rewrite WHERE oid >= 16384
        UNION ALL SELECT format('%s %s %s', tableoid, seqrelid, xmin) FROM pg_sequence
        UNION ALL SELECT format('%s %s %s', tableoid, inhrelid, xmin) FROM pg_inherits
        UNION ALL SELECT format('%s %s %s', tableoid, indexrelid, xmin) FROM pg_index WHERE indexrelid >= 16384
        UNION ALL SELECT format('%s %s %s %s %s %s %s %s %s', oid, relname, relkind, relpersistence, relreplident,
                                relowner, relrowsecurity, reloptions, relacl) FROM pg_class WHERE oid >= 16384
        UNION ALL SELECT format('%s %s', setrole, setconfig) FROM pg_db_role_setting
                  WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
        UNION ALL SELECT datconnlimit::text FROM pg_database
                  WHERE datname = current_database()
        UNION ALL SELECT s::text FROM schema_migrations s
    ) AS schema (line)
"""
_PARTITIONS: Final = "SELECT array_agg(oid) FROM pg_class WHERE relispartition AND relkind = 'r'"
_NEW_PARTITIONS: Final = """
    SELECT string_agg(oid::regclass::text, ', ') FROM pg_class
    WHERE relispartition AND relkind = 'r' AND oid <> ALL ($1::oid[])
"""
_FILLED: Final = """
    SELECT oid::regclass::text FROM pg_class
    WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
    AND relname <> 'schema_migrations' AND pg_relation_size(oid) > 0
"""
_RESET: Final = """
    DO $$
    BEGIN
        -- ALTER SEQUENCE … RESTART would change pg_sequence.
        PERFORM setval(seqrelid, seqstart, false) FROM pg_sequence
        WHERE pg_sequence_last_value(seqrelid) IS NOT NULL;
        PERFORM pg_stat_reset();
    END $$
"""


class Databases:
    """The migrated databases of one session of tests."""

    def __init__(self, settings: InfraSettings) -> None:
        self._settings = settings
        self._spare: list[str] = []
        self._print: str | None = None
        self._partitions: list[int] = []
        self._rows: dict[str, str] = {}  # of the migrations themselves, by table

    @asynccontextmanager
    async def one(self) -> AsyncIterator[str]:
        """The name of a database with the schema alone, on the replicas too; nobody else uses it meanwhile."""
        if self._spare:
            name = self._spare.pop()
            await self._wait_for_replicas()
        else:
            name = await self._new()
        yield name
        if await self._emptied(name):
            self._spare.append(name)
        else:
            await drop_database(self._settings, name)

    async def close(self) -> None:
        """Drop those that are left."""
        while self._spare:
            await drop_database(self._settings, self._spare.pop())

    async def _new(self) -> str:
        name = f"test_{uuid.uuid4().hex[:12]}"
        await create_database(self._settings, name)
        if self._print is None:
            connection = await asyncpg.connect(self._settings.postgres_dsn(database=name))
            try:
                self._print = await connection.fetchval(_PRINT)
                self._partitions = await connection.fetchval(_PARTITIONS) or []
                for (table,) in await connection.fetch(_FILLED):
                    self._rows[table] = await connection.fetchval(f"SELECT json_agg(t) FROM {table} t")
            finally:
                await connection.close()
        return name

    async def _emptied(self, name: str) -> bool:
        """Whether the schema is as it was made; then there are no rows, slots and connections."""
        server = await asyncpg.connect(self._settings.postgres_dsn(database="postgres"))
        try:
            await drop_slots(server, name)
            await server.execute(
                # Its temporary tables go when it ends.
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                "WHERE datname = $1 AND backend_type = 'client backend'",
                name,
            )
        finally:
            await server.close()
        try:
            connection = await asyncpg.connect(self._settings.postgres_dsn(database=name))
        except asyncpg.InvalidCatalogNameError:
            return False
        try:
            await connection.execute("SET lock_timeout = '5s'")
            if made := await connection.fetchval(_NEW_PARTITIONS, self._partitions):
                await connection.execute(f"DROP TABLE {made}")
            if await connection.fetchval(_PRINT) != self._print:
                return False
            await self._empty(connection)
        except asyncpg.LockNotAvailableError:
            return False
        finally:
            await connection.close()
        return True

    async def _empty(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        """Leave the rows of the migrations alone."""
        if filled := [row[0] for row in await connection.fetch(_FILLED) if row[0] not in self._rows]:
            await connection.execute(f"TRUNCATE {', '.join(filled)} CASCADE")
        for table, rows in self._rows.items():
            await connection.execute(f"DELETE FROM {table}")
            await connection.execute(
                f"INSERT INTO {table} SELECT * FROM json_populate_recordset(NULL::{table}, $1)", rows
            )
        # Else what this session counted comes after the counters are at 0.
        await connection.execute("SELECT pg_stat_force_next_flush()")
        await connection.execute(_RESET)

    async def _wait_for_replicas(self) -> None:
        server = await asyncpg.connect(self._settings.postgres_dsn(database="postgres"))
        try:
            await wait_for_replicas(server)
        finally:
            await server.close()
