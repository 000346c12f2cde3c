"""Checks of the database's roles for `python -m app doctor`: each has its rights, and a login has those of one role."""

import asyncio
from typing import Final

import asyncpg

from app.config.settings import Settings
from app.core.check_results import Finding, Level, judged
from storage.postgres.errors import translated
from storage.postgres.queries import query

_TIMEOUT_S: Final = 10.0
_NAMED: Final = 5


async def rights_findings(settings: Settings) -> list[Finding]:
    """Of a schema that is up to date. Raises TransientError or FatalError where a login can't connect."""
    with translated():
        async with asyncio.timeout(_TIMEOUT_S):
            missing, orphans = await _missing(settings.postgres_dsn.get_secret_value())
            lacks = _shown("roles lack ", missing) or _shown("only the owner's: ", orphans)
            found = [
                judged(
                    "postgres.rights",
                    well=not missing and not orphans,
                    what=lacks or "each role has its own",
                    mend="`python -m app roles`, as a user who may make roles and grant"
                    if missing
                    else "name the tables in storage/sql/roles.sql",
                    level=Level.WARN,
                )
            ]
            reads = await _powers(settings.read_dsn.get_secret_value())
            writes = await _powers(settings.write_dsn.get_secret_value())
    for name, powers, over in (
        ("postgres.reader", reads, _beyond_reading(reads)),
        ("postgres.writer", writes, _beyond_writing(writes)),
    ):
        found.append(
            judged(
                name,
                well=not over,
                what=f"{powers['login']} {over}" if over else f"{powers['login']} may what its role may",
                mend="set PROFILE_POSTGRES_READ_DSN and PROFILE_POSTGRES_WRITE_DSN to logins of their own, and run "
                "`python -m app roles`: whoever takes a worker over may do what its login may",
                level=Level.WARN,
            )
        )
    return found


async def _missing(dsn: str) -> tuple[list[str], list[str]]:
    connection = await asyncpg.connect(dsn, timeout=_TIMEOUT_S)
    try:
        roles = [row["rolname"] for row in await connection.fetch(query("server_roles"))]
        if not roles:
            return ["all: the server has none of them"], []
        rows = await connection.fetch(query("rights"))
        orphans = [row["relname"] for row in await connection.fetch(query("unnamed_tables"))]
    finally:
        await connection.close()
    return [
        f"{row['privilege']} on {row['object']} ({row['role']})" for row in rows if not row["granted"]
    ], orphans


async def _powers(dsn: str) -> asyncpg.Record:
    connection = await asyncpg.connect(dsn, timeout=_TIMEOUT_S)
    try:
        (powers,) = await connection.fetch(query("login_powers"))
    finally:
        await connection.close()
    return powers


def _beyond_writing(powers: asyncpg.Record) -> str:
    if powers["administers"]:
        return "administers the server"
    if powers["owns"]:
        return "owns the schema"
    return "may replicate" if powers["replicates"] else ""


def _beyond_reading(powers: asyncpg.Record) -> str:
    return _beyond_writing(powers) or ("may write" if powers["writes"] else "")


def _shown(before: str, what: list[str]) -> str:
    if not what:
        return ""
    more = len(what) - _NAMED
    return before + ", ".join(what[:_NAMED]) + (f" and {more} more" if more > 0 else "")
