"""Migrations: plain .sql files, applied in the order of their names, each recorded with its SHA-256.

A file runs in one transaction, unless its first line is `-- no-transaction` (CREATE INDEX CONCURRENTLY).
Starters take turns by a polled advisory lock: a blocking one deadlocks with CREATE INDEX CONCURRENTLY.
"""

import asyncio
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncpg

from app.core.errors import FatalError, TransientError
from storage.postgres.errors import translated

DIRECTORY: Final = Path(__file__).parents[1] / "migrations"
_LOCK: Final = 0x7570_6D69_6772
_POLL_S: Final = 0.1
_WAIT_S: Final = 120.0
_NO_TRANSACTION: Final = "-- no-transaction"

_LEDGER: Final = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    name       text PRIMARY KEY,
    sha256     text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One file."""

    name: str
    sql: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations(directory: Path = DIRECTORY) -> list[Migration]:
    """All files in order."""
    return [Migration(name=path.stem, sql=path.read_text()) for path in sorted(directory.glob("*.sql"))]


async def migrate(dsn: str, directory: Path = DIRECTORY) -> list[str]:
    """Apply what is missing and return its names. Safe to call from several processes at once.

    Raises TransientError (not reachable) or FatalError (an applied file was changed; SQL failed).
    """
    with translated():
        connection = await asyncpg.connect(dsn, timeout=10)
    try:
        with translated():
            await _lock(connection)
            await connection.execute(_LEDGER)
            applied = await _applied(connection)
        done = []
        for migration in migrations(directory):
            if migration.name in applied:
                if applied[migration.name] != migration.sha256:
                    raise FatalError(
                        f"The migration {migration.name} was changed after it was applied: restore the file, "
                        "and put the change into a new one."
                    )
                continue
            await _apply(connection, migration)
            done.append(migration.name)
        return done
    finally:
        await connection.close()


async def require_current(dsn: str) -> None:
    """Raise FatalError where the schema lacks a migration of this code; a newer schema is accepted."""
    with translated():
        connection = await asyncpg.connect(dsn, timeout=10)
    try:
        with translated():
            ledger = await connection.fetchval("SELECT to_regclass('schema_migrations')")
            applied = await _applied(connection) if ledger else {}
    finally:
        await connection.close()
    missing = [m.name for m in migrations() if m.name not in applied]
    if missing:
        at = max(applied, default="nothing")
        raise FatalError(
            f"The schema is at {at}, and this worker needs {missing[-1]}: run `python -m app migrate`."
        )


async def _lock(connection: asyncpg.Connection) -> None:
    deadline = asyncio.get_running_loop().time() + _WAIT_S
    while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):
        if asyncio.get_running_loop().time() > deadline:
            raise TransientError(f"Another process has been migrating for {_WAIT_S:.0f} s; try again later.")
        await asyncio.sleep(_POLL_S)


async def _applied(connection: asyncpg.Connection) -> dict[str, str]:
    return {
        row["name"]: row["sha256"]
        for row in await connection.fetch("SELECT name, sha256 FROM schema_migrations")
    }


async def _apply(connection: asyncpg.Connection, migration: Migration) -> None:
    record = "INSERT INTO schema_migrations (name, sha256) VALUES ($1, $2)"
    try:
        if migration.sql.startswith(_NO_TRANSACTION):
            await connection.execute(migration.sql)
            await connection.execute(record, migration.name, migration.sha256)
        else:
            async with connection.transaction():
                await connection.execute(migration.sql)
                await connection.execute(record, migration.name, migration.sha256)
    except asyncpg.PostgresError as error:
        raise FatalError(f"The migration {migration.name} failed: {error}") from error
