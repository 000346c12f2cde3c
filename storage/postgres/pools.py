"""Connection pools and what every session of ours is set to."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from app.config.settings import Settings
from app.core.errors import BusyError
from storage.postgres.errors import translated
from storage.postgres.queries import query

Connection = asyncpg.Connection | PoolConnectionProxy  # a pool hands out proxies

Prepare = Callable[[Connection], Awaitable[None]]

# Each commit must be durable and visible before it is announced; the cache's rules rest on it.
_SESSION: Final = {
    "timezone": "UTC",
    "jit": "off",  # compiling costs more than any of our statements
    "synchronous_commit": "on",
    "default_transaction_isolation": "read committed",
    # A process that the network has cut off can't end its transaction: without these its rows and the writers' lock
    # stay held for hours, and whoever takes its work over waits. Our pauses within a transaction are milliseconds.
    "idle_in_transaction_session_timeout": "15s",
    "tcp_keepalives_idle": "15",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
# Every statement of the writer goes from the rows of a batch to rows of large tables by index. A plan that was made
# while the tables were small would be kept by the session and go quadratic when they have grown (10,000 edges took
# 23 s), so each flush is planned anew; and a hash or merge join would read whole tables for one batch.
_WRITER: Final = {
    **_SESSION,
    "plan_cache_mode": "force_custom_plan",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "random_page_cost": "1.1",
}
_CONNECT_TIMEOUT_S: Final = 5.0
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)  # PostgreSQL counts microseconds since then
_MICROSECOND: Final = timedelta(microseconds=1)
# By how much PostgreSQL outlasts the client's limit for a statement, so that it ends those whose client is gone.
_BACKSTOP_S: Final = 5.0
_SERVERS_PART: Final = 0.9  # of the time that a client waits for a read


def _encode_jsonb(text: str) -> bytes:
    return b"\x01" + text.encode()


def _decode_jsonb(data: bytes) -> str:
    return data[1:].decode()


def _encode_timestamptz(date: datetime) -> tuple[int]:
    return ((date - _EPOCH) // _MICROSECOND,)


def _decode_timestamptz(value: tuple[int]) -> datetime:
    return _EPOCH + value[0] * _MICROSECOND


async def _set_codecs(connection: Connection) -> None:
    """Pass jsonb as JSON text, byte for byte, and dates as they are, in parameters and in COPY."""
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", format="binary", encoder=_encode_jsonb, decoder=_decode_jsonb
    )
    # The driver's own codec writes the first and the last instant of datetime as -infinity and infinity. The first
    # is Go's zero time, and the start of every period of the year 1.
    await connection.set_type_codec(
        "timestamptz",
        schema="pg_catalog",
        format="tuple",
        encoder=_encode_timestamptz,
        decoder=_decode_timestamptz,
    )


_QUERY_NAME: Final = re.compile(r"(?<=RETURN QUERY ):(\w+)")
_PARAMETER: Final = re.compile(r"\$(\d+)")


async def _create_staging(connection: Connection) -> None:
    await connection.execute(query("create_staging"))
    await connection.execute(_flush_function())


def _flush_function() -> str:
    """The text of create_flush, with those of the queries that it names."""
    # Parameters of remove_edges follow those of the others.
    shifted = {"remove_edges": 4}

    def text(match: re.Match[str]) -> str:
        by = shifted.get(match[1], 0)
        return _PARAMETER.sub(lambda number: f"${int(number[1]) + by}", query(match[1]))

    return _QUERY_NAME.sub(text, query("create_flush"))


async def open_writer(settings: Settings, *checks: Prepare) -> asyncpg.Pool:
    """The pool of writes; each of its connections has the staging tables. Connects when first used.

    `checks` see each new connection before it is used, and refuse it by an error.
    """
    return await _open(
        settings.write_dsn.get_secret_value(),
        settings,
        "writer",
        _WRITER,
        (_set_codecs, *checks, _create_staging),
        size=settings.postgres_write_pool_size,
    )


async def open_reader(
    dsn: str,
    settings: Settings,
    *checks: Prepare,
    name: str,
    size: int | None = None,
    limit_s: float | None = None,
) -> asyncpg.Pool:
    """A pool of reads, on the primary or a replica. Connects when first used; `checks` as above.

    `limit_s` is how long its clients wait for a statement: the server gives up a little earlier, and says so. So an
    expensive question is told from a server that does not answer, and nothing works on what nobody waits for.
    """
    session = _SESSION
    if limit_s is not None:
        session = {**_SESSION, "statement_timeout": f"{limit_s * _SERVERS_PART * 1000:.0f}"}
    return await _open(dsn, settings, f"reader-{name}", session, (_set_codecs, *checks), size=size)


@contextlib.asynccontextmanager
async def asked(pool: asyncpg.Pool, timeout_s: float) -> AsyncIterator[Connection]:
    """A connection for that long and no longer, its return to the pool included. Raises as `translated` does.

    Waiting for one is bounded likewise. BusyError: all of them were in use meanwhile, which says nothing of the server.
    """
    is_here = False
    with translated():
        try:
            # The pool's own limit would have each wait for a task of its own.
            async with asyncio.timeout(timeout_s) as limit, pool.acquire() as connection:
                is_here = True
                limit.reschedule(asyncio.get_running_loop().time() + timeout_s)
                try:
                    yield connection
                except asyncio.CancelledError:
                    # Else the pool waits as long again for a server that hangs to say that it has given up.
                    connection.terminate()
                    raise
        except TimeoutError:
            if not is_here and pool.get_size() == pool.get_max_size():
                raise BusyError("All connections to PostgreSQL are in use; try again in a moment.") from None
            raise


async def _keep_as_it_is(_: Connection) -> None:
    """Instead of the driver's statements, which would take as long as a read does.

    Nothing has to be undone: what is set or locked ends with its transaction, and staging tables are to stay.
    """


async def primary_clock(
    pool: asyncpg.Pool, *, acquire_timeout_s: float, of: str = "primary_clock"
) -> datetime:
    """The primary's time, in UTC, as this query tells it."""
    with translated():
        async with pool.acquire(timeout=acquire_timeout_s) as connection:
            now: datetime = await connection.fetchval(query(of))
            return now


async def _open(
    dsn: str,
    settings: Settings,
    role: str,
    session: dict[str, str],
    steps: Sequence[Prepare],
    *,
    size: int | None = None,
) -> asyncpg.Pool:
    async def prepare(connection: Connection) -> None:
        for step in steps:
            await step(connection)

    pool: asyncpg.Pool = await asyncpg.create_pool(
        dsn,
        min_size=0,
        max_size=size or settings.postgres_pool_size,
        max_inactive_connection_lifetime=300,
        timeout=_CONNECT_TIMEOUT_S,
        command_timeout=settings.postgres_command_timeout_s,
        server_settings={
            "statement_timeout": f"{(settings.postgres_command_timeout_s + _BACKSTOP_S) * 1000:.0f}",
            **session,
            "application_name": f"user-profile {role}",
        },
        init=prepare,
        reset=_keep_as_it_is,
    )
    return pool
