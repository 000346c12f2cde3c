"""A commit that is flushed, and shown by replicas, long before the primary shows it: it waits for a standby.

A session that has seen it on a replica never goes back, also where the primary answers (design, rules 1 and 8).
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import asyncpg
import pytest

from app.config.settings import Settings
from app.core.errors import TransientError
from storage.postgres import replicas as postgres_replicas
from storage.stores import Stores
from tests.integration.storage.test_freshness import Worker, value_of, worker
from tests.rows import user

pytestmark = pytest.mark.integration


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(settings.postgres_dsn.get_secret_value())
    try:
        yield connection
    finally:
        await connection.close()


async def waits_for_a_standby(admin: "asyncpg.Connection[asyncpg.Record]", pid: int) -> bool:
    waits: bool = await admin.fetchval(
        "SELECT wait_event IS NOT DISTINCT FROM 'SyncRep' FROM pg_stat_activity WHERE pid = $1", pid
    )
    return waits


async def until_commits_wait(settings: Settings, admin: "asyncpg.Connection[asyncpg.Record]") -> None:
    """PostgreSQL answers `pg_reload_conf()` before its processes have the new configuration: commit until one waits."""
    async with connected(settings) as first, asyncio.timeout(30):
        await first.execute("SET synchronous_commit = on")
        while True:
            committing = asyncio.create_task(
                first.execute("UPDATE entities SET updated_at = now() WHERE reference = 'another'")
            )
            while not committing.done():
                if await waits_for_a_standby(admin, first.get_server_pid()):
                    # The server ends the wait with a warning, and the commit stands.
                    await admin.execute("SELECT pg_cancel_backend($1)", first.get_server_pid())
                    await committing
                    return
            await committing


@asynccontextmanager
async def held(settings: Settings, value: int) -> AsyncIterator[Callable[[], Awaitable[int]]]:
    """Within, a commit that sets `f` of `a` is on disk and on replicas, and the primary does not show it.

    A call of what is given commits more, at later positions, which is visible at once; it returns the token of that.
    """

    async def others_commit() -> int:
        for _ in range(5):
            await admin.execute("UPDATE entities SET updated_at = now() WHERE reference = 'another'")
        position: int = await admin.fetchval("SELECT wal_position()")
        return position

    async with connected(settings) as admin, connected(settings) as writer:
        await writer.execute("SET synchronous_commit = on")
        before = await admin.fetchval("SELECT pg_current_wal_flush_lsn()")
        for statement in (
            "ALTER SYSTEM SET synchronous_standby_names = 'nobody'",
            "ALTER SYSTEM SET synchronous_commit = local",
            "SELECT pg_reload_conf()",
        ):
            await admin.execute(statement)
        await until_commits_wait(settings, admin)
        committing = asyncio.create_task(
            writer.execute(
                "UPDATE entities SET properties = jsonb_set(properties, '{f,value}', to_jsonb($1::int)) "
                "WHERE reference = 'a'",
                value,
            )
        )
        try:
            async with asyncio.timeout(10):
                while not await waits_for_a_standby(admin, writer.get_server_pid()):
                    assert not committing.done(), f"nothing held the commit behind {before}"
                    await asyncio.sleep(0.01)
            await admin.execute("SET synchronous_commit = local")
            yield others_commit
        finally:
            for statement in (
                "ALTER SYSTEM RESET synchronous_standby_names",
                "ALTER SYSTEM RESET synchronous_commit",
                "SELECT pg_reload_conf()",
            ):
                await admin.execute(statement)
            with suppress(asyncio.CancelledError):
                await asyncio.wait_for(committing, 10)


@asynccontextmanager
async def without_replicas(stores: Stores) -> AsyncIterator[None]:
    source = stores._source
    kept, source._replicas = source._replicas, []
    yield
    source._replicas = kept


async def sees_on_a_replica(one: Worker, value: int) -> int:
    """The token of who sees the value there."""
    for _ in range(500):
        one.forgets()
        await one.stores.cache.drop_all()
        answer = await one.answers()
        if value_of(answer) == value:
            return answer.upper
        await asyncio.sleep(0.01)
    raise AssertionError("No replica showed it.")


@pytest.fixture
async def workers(settings: Settings) -> AsyncIterator[tuple[Worker, Worker]]:
    async with worker(settings) as one, worker(settings) as other:
        await one.writes(1)
        await one.writes(1, "another")
        yield one, other


async def test_a_session_does_not_go_back_to_a_primary_that_holds_a_commit_up(
    workers: tuple[Worker, Worker], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = workers
    monkeypatch.setattr(postgres_replicas, "VISIBLE_POLLS", 10)
    async with held(settings, 2) as others_commit:
        token = await sees_on_a_replica(one, 2)
        written = await others_commit()
        await other.stores.cache.drop_all()
        other.forgets()
        async with without_replicas(other.stores):
            assert await other.reads() == 1, "the primary was to show what was before"
            with pytest.raises(TransientError, match="does not show yet"):
                await other.reads(token)
            assert await other.reads(written) == 1, "the token of a write is answered at once"
        assert await other.reads(token) == 2, (
            "a replica has it, and what the caches hold of the primary is not taken"
        )
    async with without_replicas(other.stores):
        for _ in range(2):
            other.forgets()
            await other.stores.cache.drop_all()
            assert await other.reads(token) == 2


async def test_nor_where_that_commit_is_of_the_newest_transaction_of_all(
    workers: tuple[Worker, Worker], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A snapshot's upper end is the transaction after the latest one that has ended: this one is not below it."""
    one, other = workers
    monkeypatch.setattr(postgres_replicas, "VISIBLE_POLLS", 10)
    async with held(settings, 2):
        token = await sees_on_a_replica(one, 2)
        await other.stores.cache.drop_all()
        other.forgets()
        async with without_replicas(other.stores):
            assert await other.reads() == 1, "the primary was to show what was before"
            with pytest.raises(TransientError, match="does not show yet"):
                await other.reads(token)
    assert await other.reads(token) == 2


async def test_what_the_primary_gave_a_cache_meanwhile_does_not_pass_for_newer(
    workers: tuple[Worker, Worker], settings: Settings
) -> None:
    one, other = workers
    async with held(settings, 2) as others_commit:
        token = await sees_on_a_replica(one, 2)
        await others_commit()
        await one.stores.cache.drop_all()
        one.forgets()
        async with without_replicas(other.stores):
            other.forgets()
            assert await other.reads() == 1
        assert len(other.stores.invalidator._memory), "it was to remember what it read"
        for each in workers:
            answer = await each.stores.reader.by_reference(user("a"), depth=2, since=None, token=token)
            assert answer is not None
            assert value_of(answer) == 2
