"""Migrations: plain .sql files, applied in the order of their names, each recorded with its SHA-256.

A file runs in one transaction, unless its first line is `-- no-transaction` (CREATE INDEX CONCURRENTLY). Then each of
its statements runs by itself, up to a semicolon that ends a line; after a failure all of them run again.
A migration adds, so that older code runs on its schema. One that removes what older code needs says so in its leading
comment, `-- needs: 0011_name`: code that lacks the migration 0011_name refuses the schema from then on.
Starters take turns by a polled advisory lock: a blocking one deadlocks with CREATE INDEX CONCURRENTLY.
"""

import asyncio
import hashlib
import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import asyncpg

from app.core.errors import FatalError, TransientError
from storage.postgres.errors import translated
from storage.postgres.roles import grant_rights
from storage.postgres.without_partman import FIRST, without_partman

logger = logging.getLogger(__name__)

DIRECTORY: Final = Path(__file__).parents[1] / "migrations"
_LOCK: Final = 0x7570_6D69_6772
_POLL_S: Final = 0.1
_WAIT_S: Final = 120.0
_NO_TRANSACTION: Final = "-- no-transaction"
_END: Final = re.compile(r"(?<=;)\n")  # of a statement
_NEEDS: Final = re.compile(r"(?:--.*\n)*?-- needs: (\S+)\s*$", re.MULTILINE)  # in the comment at the top

_LEDGER: Final = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    name       text PRIMARY KEY,
    sha256     text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
SET lock_timeout = '10s';
ALTER TABLE schema_migrations ADD COLUMN IF NOT EXISTS needs text;
RESET lock_timeout;
"""
# Through jsonb, since a ledger of version 0.1.0 has no column `needs`.
_APPLIED: Final = "SELECT name, sha256, to_jsonb(m) ->> 'needs' AS needs FROM schema_migrations AS m"
_HAS_PARTMAN: Final = "SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pg_partman')"
_RECORD: Final = "INSERT INTO schema_migrations (name, sha256, needs) VALUES ($1, $2, $3)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One file."""

    name: str
    sql: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()

    @property
    def needs(self) -> str | None:
        """The migration that code must have to run after this one; None where any older code runs."""
        found = _NEEDS.match(self.sql)
        return None if found is None else found[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """One line of a database's ledger."""

    sha256: str
    needs: str | None


def migrations(directory: Path = DIRECTORY) -> list[Migration]:
    """All files in order. Raises FatalError where one needs a migration that is not before it."""
    found: dict[str, Migration] = {}
    for path in sorted(directory.glob("*.sql")):
        migration = Migration(name=path.stem, sql=path.read_text())
        if migration.needs is not None and migration.needs not in found:
            raise FatalError(
                f"The migration {migration.name} needs {migration.needs}, which is no migration before it: "
                "correct its line `-- needs:`."
            )
        found[migration.name] = migration
    return list(found.values())


async def migrate(dsn: str, directory: Path = DIRECTORY) -> list[str]:
    """Apply what is missing and return its names. Safe to call from several processes at once.

    Then the roles get the rights that they lack. A right that this login may not grant is a warning in the log, since
    all runs by one login as well.
    Raises TransientError (not reachable) or FatalError (an applied file was changed; SQL failed).
    """
    with translated():
        connection = await asyncpg.connect(dsn, timeout=10)
    try:
        with translated():
            await _lock(connection)
            await connection.execute(_LEDGER)
            applied = await _applied(connection)
        known = migrations(directory)
        _refuse_newer(applied, (migration.name for migration in known))
        done = []
        for migration in known:
            if migration.name in applied:
                if applied[migration.name].sha256 != migration.sha256:
                    raise FatalError(
                        f"The migration {migration.name} was changed after it was applied: restore the file, "
                        "and put the change into a new one."
                    )
                continue
            await _apply(connection, migration)
            done.append(migration.name)
        with translated():
            for sentence in await grant_rights(connection):
                logger.warning("%s", sentence)
        return done
    finally:
        await connection.close()


async def grant(dsn: str) -> list[str]:
    """Give the database's roles the rights that they lack; a sentence for each that this login may not grant.

    Raises TransientError (not reachable).
    """
    with translated():
        connection = await asyncpg.connect(dsn, timeout=10)
        try:
            await _lock(connection)
            return await grant_rights(connection)
        finally:
            await connection.close()


async def require_current(dsn: str) -> None:
    """Raise FatalError where the schema lacks a migration of this code.

    A newer schema is accepted, unless one of its migrations needs another one that this code lacks.
    """
    with translated():
        connection = await asyncpg.connect(dsn, timeout=10)
    try:
        with translated():
            ledger = await connection.fetchval("SELECT to_regclass('schema_migrations')")
            applied = await _applied(connection) if ledger else {}
    finally:
        await connection.close()
    known = [migration.name for migration in migrations()]
    _refuse_newer(applied, known)
    missing = [name for name in known if name not in applied]
    if missing:
        at = max(applied, default="nothing")
        raise FatalError(
            f"The schema is at {at}, and this worker needs {missing[-1]}: run `python -m app migrate`."
        )


def _refuse_newer(applied: dict[str, Applied], known: Iterable[str]) -> None:
    names = set(known)
    for name, migration in sorted(applied.items()):
        if migration.needs is not None and migration.needs not in names:
            raise FatalError(
                f"The schema has the migration {name}, after which code needs {migration.needs}, and this code "
                "lacks it: start a newer version of the service."
            )


async def _lock(connection: asyncpg.Connection) -> None:
    deadline = asyncio.get_running_loop().time() + _WAIT_S
    while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):
        if asyncio.get_running_loop().time() > deadline:
            raise TransientError(f"Another process has been migrating for {_WAIT_S:.0f} s; try again later.")
        await asyncio.sleep(_POLL_S)


async def _applied(connection: asyncpg.Connection) -> dict[str, Applied]:
    return {
        row["name"]: Applied(sha256=row["sha256"], needs=row["needs"])
        for row in await connection.fetch(_APPLIED)
    }


async def _apply(connection: asyncpg.Connection, migration: Migration) -> None:
    record = (_RECORD, migration.name, migration.sha256, migration.needs)
    if migration.name == FIRST and not await connection.fetchval(_HAS_PARTMAN):
        migration = replace(migration, sql=without_partman(migration.sql))
    try:
        if migration.sql.startswith(_NO_TRANSACTION):
            for statement in filter(str.strip, _END.split(migration.sql)):
                await connection.execute(statement)
            await connection.execute(*record)
        else:
            async with connection.transaction():
                await connection.execute(migration.sql)
                await connection.execute(*record)
    except asyncpg.PostgresError as error:
        raise FatalError(f"The migration {migration.name} failed: {error}") from error
