"""Checks of PostgreSQL for `python -m app doctor`. They write nothing."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import asyncpg

from app.config.settings import Settings
from app.core.api_keys import ApiKey
from app.core.check_results import Finding, Level, failed, judged, unreachable
from app.core.errors import FatalError, ProfileError, TransientError
from app.ports.capture import ReplicationSlots
from storage.doctor.rights import rights_findings
from storage.postgres.api_keys import PostgresKeys
from storage.postgres.errors import translated
from storage.postgres.migrator import require_current
from storage.postgres.pools import open_reader, open_writer
from storage.postgres.published_notes import PostgresNoteRegister
from storage.postgres.queries import query
from storage.postgres.replication_slots import PostgresSlots
from storage.write.erasure_ledger import ErasureLedger

_OLDEST: Final = 150_000
_MAX_SKEW_S: Final = 1.0
_MAX_LAG_BYTES: Final = 64 * 1024 * 1024
_MAX_STILL_S: Final = 600.0
_TIMEOUT_S: Final = 10.0
_MANY_STARTS: Final = 3


async def postgres_findings(settings: Settings, publication: str) -> list[Finding]:
    """The primary, the schema and the replicas. Raises nothing."""
    dsn = settings.postgres_dsn.get_secret_value()
    try:
        row, flushed, skew_s = await _asked(dsn, settings)
    except ProfileError as error:
        return [unreachable("postgres.primary", error, "PROFILE_POSTGRES_DSN")]
    found = _primary(row, skew_s, settings)
    for check in (_session, _schema):
        try:
            found += await check(settings, publication)
        except ProfileError as error:
            found.append(unreachable("postgres.schema", error, "PROFILE_POSTGRES_DSN"))
    if any(finding.name == "postgres.schema" and finding.level is Level.OK for finding in found):
        try:
            found += await rights_findings(settings)
        except ProfileError as error:
            found.append(
                unreachable("postgres.rights", error, "PROFILE_POSTGRES_READ_DSN, PROFILE_POSTGRES_WRITE_DSN")
            )
    for number, secret in enumerate(settings.postgres_replica_dsns, start=1):
        name = f"postgres.replica-{number}"
        try:
            replica, replayed, _ = await _asked(secret.get_secret_value(), settings)
        except ProfileError as error:
            found.append(unreachable(name, error, "PROFILE_POSTGRES_REPLICA_DSNS", level=Level.WARN))
        else:
            found += _replica(name, replica, max(0, flushed - replayed))
    return found


async def slots_of(settings: Settings) -> tuple[ReplicationSlots, asyncpg.Pool]:
    """The slots of the primary, and the pool to terminate afterwards."""
    pool = await open_reader(settings.postgres_dsn.get_secret_value(), settings, name="doctor")
    return PostgresSlots(pool, acquire_timeout_s=_TIMEOUT_S), pool


async def notes_complete(settings: Settings) -> bool:
    """Whether the notes name all that consumers know. Raises TransientError or FatalError."""
    pool = await open_reader(settings.postgres_dsn.get_secret_value(), settings, name="doctor")
    try:
        register = PostgresNoteRegister(pool, acquire_timeout_s=_TIMEOUT_S)
        return await register.complete(settings.topics.published)
    finally:
        pool.terminate()


async def api_keys(settings: Settings) -> Sequence[ApiKey]:
    """Every key that was ever made. Raises TransientError or FatalError."""
    pool = await open_reader(settings.postgres_dsn.get_secret_value(), settings, name="doctor")
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            return await PostgresKeys(pool, acquire_timeout_s=_TIMEOUT_S).all()
    except TimeoutError as error:
        raise TransientError(f"The API keys were not read within {_TIMEOUT_S:g} s.") from error
    finally:
        pool.terminate()


async def _asked(dsn: str, settings: Settings) -> tuple[asyncpg.Record, int, float]:
    """What the server says of itself, its position, and by how much this host's clock is ahead of its."""
    pool = await open_reader(dsn, settings, name="doctor")
    try:
        with translated():
            async with asyncio.timeout(_TIMEOUT_S), pool.acquire(timeout=_TIMEOUT_S) as connection:
                ping = await connection.fetchrow(query("ping"))
                before = datetime.now(UTC)
                row = await connection.fetchrow(query("doctor_server"))
                after = datetime.now(UTC)
    finally:
        pool.terminate()
    assert ping is not None  # noqa: S101 - scalars are one row
    assert row is not None  # noqa: S101 - see above
    return row, ping["position"], (before + (after - before) / 2 - row["now"]).total_seconds()


def _primary(row: asyncpg.Record, skew_s: float, settings: Settings) -> list[Finding]:
    # Of a worker with all roles: the writer's pool and that of reads on the primary.
    wanted = 2 * settings.postgres_pool_size
    free = row["connections"] - row["other_connections"]
    keep_mb = row["slot_keep_mb"]
    return [
        judged(
            "postgres.primary",
            well=not row["in_recovery"],
            what="is in recovery" if row["in_recovery"] else "answers and takes writes",
            mend="point PROFILE_POSTGRES_DSN at the primary (docs/operations.md, Failover of the primary)",
        ),
        judged(
            "postgres.version",
            well=row["version_number"] >= _OLDEST,
            what=row["version"],
            mend="upgrade to PostgreSQL 15 or newer",
        ),
        judged(
            "postgres.wal_level",
            well=row["wal_level"] == "logical",
            what=row["wal_level"],
            mend="ALTER SYSTEM SET wal_level = 'logical', and restart: changes are captured from it",
        ),
        judged(
            "postgres.durability",
            well=row["fsync"] == "on" and row["full_page_writes"] == "on",
            what=f"fsync {row['fsync']}, full_page_writes {row['full_page_writes']}",
            mend="turn both on: an acknowledged record may be lost in a crash",
        ),
        judged(
            "postgres.commit_timestamps",
            well=row["track_commit_timestamp"] == "on",
            what=f"track_commit_timestamp {row['track_commit_timestamp']}",
            mend="turn it on, and restart: a recovery of the slot needs the times of commits",
            level=Level.WARN,
        ),
        judged(
            "postgres.slot_limit",
            well=keep_mb > 0,
            what=f"max_slot_wal_keep_size {keep_mb} MB"
            if keep_mb > 0
            else "max_slot_wal_keep_size has no limit",
            mend="set one (2GB): a connector that stays away fills the disk",
            level=Level.WARN,
        ),
        judged(
            "postgres.connections",
            well=free >= wanted,
            what=f"{free} are left to workers; one with all roles takes up to {wanted}",
            mend="raise max_connections, or lower PROFILE_POSTGRES_POOL_SIZE; count all workers",
            level=Level.WARN,
        ),
        judged(
            "clock",
            well=abs(skew_s) <= _MAX_SKEW_S,
            what=f"this host is {abs(skew_s):.2f} s {'ahead of' if skew_s > 0 else 'behind'} the primary",
            mend="synchronise the clocks (chrony): lags are wrong, and dates that producers tell decide who wins",
            level=Level.WARN,
        ),
    ]


async def _session(settings: Settings, _: str) -> list[Finding]:
    pool = await open_writer(settings)
    try:
        with translated():
            async with asyncio.timeout(_TIMEOUT_S), pool.acquire(timeout=_TIMEOUT_S) as connection:
                row = await connection.fetchrow(query("doctor_session"))
    finally:
        pool.terminate()
    assert row is not None  # noqa: S101 - scalars are one row
    set_to = f"synchronous_commit {row['synchronous_commit']}, isolation {row['isolation']}"
    return [
        judged(
            "postgres.session",
            well=(row["synchronous_commit"], row["isolation"]) == ("on", "read committed"),
            what=set_to,
            mend="a pooler between drops what sessions are set to: connect directly, or let it keep startup parameters",
        )
    ]


async def _schema(settings: Settings, publication: str) -> list[Finding]:
    dsn = settings.postgres_dsn.get_secret_value()
    try:
        await require_current(dsn)
    except FatalError as error:
        return [failed("postgres.schema", error, mend="`python -m app migrate`")]
    found = [Finding(level=Level.OK, name="postgres.schema", what="is up to date")]
    pool = await open_reader(dsn, settings, name="doctor")
    try:
        with translated():
            async with asyncio.timeout(_TIMEOUT_S), pool.acquire(timeout=_TIMEOUT_S) as connection:
                row = await connection.fetchrow(query("doctor_schema"), publication)
                (deletions,) = await connection.fetch(query("deletions_under_way"))
                has_room = await connection.fetchval(query("slot_has_room"), settings.cdc_slot)
                suspected = await connection.fetch(query("suspected_partitions"), _MANY_STARTS)
                try:
                    await ErasureLedger(settings.erasure_key.get_secret_value()).require_key(connection)
                except FatalError as error:
                    found.append(
                        failed(
                            "postgres.erasure_key",
                            error,
                            mend="set PROFILE_ERASURE_KEY to the key of the first erasure",
                        )
                    )
    finally:
        pool.terminate()
    assert row is not None  # noqa: S101 - scalars are one row
    missing = row["unpublished"]
    return [
        *found,
        judged(
            "postgres.publication",
            well=row["published"] and not missing,
            what=f"{publication} {'lacks ' + ', '.join(missing) if missing else 'has all tables'}",
            mend=f"`ALTER PUBLICATION {publication} ADD TABLE …`; where it is gone, make it as 0001_schema.sql does",
        ),
        judged(
            "postgres.replica_identity",
            well=not row["partial"],
            what=f"{row['partial']} tables without whole old rows" if row["partial"] else "full",
            mend="`ALTER TABLE … REPLICA IDENTITY FULL` on each: events lack their old values",
        ),
        _deletions(deletions, has_room=has_room),
        _attempts(suspected),
    ]


def _attempts(rows: Sequence[asyncpg.Record]) -> Finding:
    named = ", ".join(
        f"{row['topic']}/{row['partition']} at {row['first_offset']} ({row['starts']} times)" for row in rows
    )
    return judged(
        "postgres.attempts",
        well=not rows,
        what=f"workers began without getting on: {named}"
        if rows
        else "no worker begins at one record again and again",
        mend="see what their logs end with; a record that kills is set aside (docs/operations.md, Dead letters)",
        level=Level.WARN,
    )


def _deletions(row: asyncpg.Record, *, has_room: bool) -> Finding:
    """Those in pieces: they should move, and do not while the slot keeps half of its WAL."""
    if not row["deletions"]:
        what = "no erased entity has rows left"
    else:
        what = f"{row['deletions']} erased entities have {row['rows_left']} rows left, "
        what += f"the latest went {row['still_s']:.0f} s ago"
        what += "" if has_room else "; the slot keeps half of the WAL that it may keep"
    return judged(
        "postgres.deletions",
        well=not row["deletions"] or row["still_s"] <= _MAX_STILL_S,
        what=what,
        mend="start a worker, and see to the connector (docs/operations.md, A deletion stands still)",
        level=Level.WARN,
    )


def _replica(name: str, row: asyncpg.Record, behind: int) -> list[Finding]:
    return [
        judged(
            name,
            well=row["in_recovery"] and row["receiver"] == "streaming",
            what="is no replica"
            if not row["in_recovery"]
            else "streams from the primary"
            if row["receiver"] == "streaming"
            else "receives nothing",
            mend="mend its primary_conninfo and slot, or make it anew (docs/operations.md, Loss of a replica)",
            level=Level.WARN,
        ),
        judged(
            f"{name}.feedback",
            well=row["hot_standby_feedback"] == "on",
            what=f"hot_standby_feedback {row['hot_standby_feedback']}",
            mend="turn it on: long reads are cancelled by the primary's vacuum",
            level=Level.WARN,
        ),
        judged(
            f"{name}.lag",
            well=behind <= _MAX_LAG_BYTES,
            what=f"{behind} bytes behind",
            mend="reads go to the primary until it has caught up: look at its disk and at long queries on it",
            level=Level.WARN,
        ),
    ]
