"""A session goes back to its pool as it was: whatever is set or locked ends with its transaction."""

from typing import Any

import asyncpg
import pytest

import storage.postgres.pools
from app.config.settings import Settings
from app.core.models import Batch, EntityKey
from storage.stores import Stores
from tests.rows import edge, entity, point, prop

pytestmark = pytest.mark.integration

_LEFT = (
    "SELECT name || ' = ' || setting AS what FROM pg_settings WHERE setting <> reset_val "
    "AND context IN ('user', 'superuser') AND name <> 'transaction_read_only' "  # a replica's say so
    "UNION ALL SELECT locktype || ' ' || objid FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory' "
    "UNION ALL SELECT 'cursor ' || name FROM pg_cursors WHERE statement NOT LIKE '%pg_cursors%' "
    "UNION ALL SELECT 'channel ' || name FROM pg_listening_channels() AS name"
)


@pytest.fixture
async def pools(monkeypatch: pytest.MonkeyPatch) -> list[asyncpg.Pool]:
    """Those that are opened from now on."""
    opened: list[asyncpg.Pool] = []
    open_ = storage.postgres.pools._open

    async def noted(*args: Any, **named: Any) -> asyncpg.Pool:
        opened.append(await open_(*args, **named))
        return opened[-1]

    monkeypatch.setattr(storage.postgres.pools, "_open", noted)
    return opened


async def use_all(stores: Stores) -> None:
    """Everything that sets or locks something, and what fails half-way."""
    batch = Batch(
        entities=[entity("a"), entity("b")],
        properties=[prop("a", "f", '"v"')],
        edges=[edge("a", "b")],
        temporal=[point("a", "k", "1")],
    )
    await stores.writer.write(batch)
    await stores.preview.preview(batch)
    key = EntityKey("user", "a")
    answer = await stores.reader.by_reference(key, depth=2, since=None)
    assert answer is not None
    async with stores.snapshots.open(since=None) as reading:
        assert [each async for each in reading.entities()]
    async with stores.exporter.export(1) as lines:
        assert lines is not None
        await anext(lines)  # and no further
    await stores.placeholders.merge()
    assert await stores.eraser.erase(key) is not None
    entries = [each async for each in stores.erasure_transfer.entries()]
    assert entries
    assert [each async for each in stores.erasure_transfer.take(entries)]


async def test_nothing_of_one_use_is_left_to_the_next(pools: list[asyncpg.Pool], settings: Settings) -> None:
    stores = await Stores.open(settings)
    try:
        await use_all(stores)
        seen = 0
        for pool in pools:
            sessions = [await pool.acquire() for _ in range(pool.get_idle_size())]
            seen += len(sessions)
            for session in sessions:
                assert [row["what"] for row in await session.fetch(_LEFT)] == []
                await pool.release(session)
        assert seen >= 3
    finally:
        await stores.close()


async def test_a_read_is_one_statement_and_no_more(
    pools: list[asyncpg.Pool], settings: Settings, db: Any
) -> None:
    """The driver would undo, in a statement of its own, what nobody has done."""
    stores = await Stores.open(settings)
    try:
        for pool in pools:
            async with storage.postgres.pools.asked(pool, 5.0) as connection:
                pid = await connection.fetchval("SELECT pg_backend_pid()")
            told = await db.fetchval("SELECT query FROM pg_stat_activity WHERE pid = $1", pid)
            # None on a replica, which has statistics of its own.
            assert told in ("SELECT pg_backend_pid()", None)
    finally:
        await stores.close()
