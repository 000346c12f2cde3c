"""A deletion in pieces stops while the replication slot fills up, and goes on by itself when it has room again."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from app.config.settings import Settings
from app.core.models import Batch
from app.worker.deletion_watch import DeletionWatch
from storage.stores import Stores
from tests.e2e.own_stack import OwnStack
from tests.rows import edge, user

pytestmark = [pytest.mark.e2e, pytest.mark.chaos, pytest.mark.timeout(180)]

LIMIT = 64 * 1024 * 1024


@pytest.fixture
async def slot(own_settings: Settings, own_stack: OwnStack, run_id: str) -> AsyncIterator[Any]:
    """A connection to a primary that keeps 64 MB for a slot; the slot is the service's."""
    dsn = own_settings.postgres_dsn.get_secret_value()
    db = await asyncpg.connect(dsn)
    before = await db.fetchval("SHOW max_slot_wal_keep_size")
    await db.execute("ALTER SYSTEM SET max_slot_wal_keep_size = '64MB'")
    await db.execute("SELECT pg_reload_conf()")
    await db.execute("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", f"slot_{run_id}")
    yield db
    await db.execute("SELECT pg_drop_replication_slot($1)", f"slot_{run_id}")
    await db.execute(f"ALTER SYSTEM SET max_slot_wal_keep_size = '{before}'")
    await db.execute("SELECT pg_reload_conf()")
    await db.close()


async def safe_bytes(db: Any, name: str) -> int:
    found: int = await db.fetchval(
        "SELECT safe_wal_size FROM pg_replication_slots WHERE slot_name = $1", name
    )
    return found


async def test_it_waits_for_room_in_the_slot(
    own_settings: Settings, slot: Any, run_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    name = f"slot_{run_id}"
    stores = await Stores.open(
        own_settings.model_copy(
            update={"cdc_slot": name, "erasure_piece_rows": 50, "erasure_rows_per_s": 1_000_000}
        )
    )
    await stores.writer.write(Batch(edges=[edge("a", f"n{n}") for n in range(200)]))
    await stores.eraser.erase(user("a"))
    assert await stores.deletions.piece()

    while 2 * await safe_bytes(slot, name) > LIMIT:  # others write, and nobody reads the slot
        await slot.execute("SELECT pg_logical_emit_message(false, 'filler', repeat('x', 4000000))")
    watch = DeletionWatch(stores.deletions)
    await watch.delete()
    assert not await stores.deletions.piece()
    state = await stores.deletions.under_way()
    assert (state.rows_left, state.slot_has_room) == (150, False)
    assert "150 rows" in caplog.text
    assert await safe_bytes(slot, name) > 0

    async with asyncio.timeout(60):
        while (await stores.deletions.under_way()).deletions:
            # Each checkpoint lets the slot begin later, as the connector's confirmations do.
            await slot.execute("CHECKPOINT")
            await slot.execute("SELECT pg_replication_slot_advance($1, pg_current_wal_flush_lsn())", name)
            await watch.delete()
    assert await slot.fetchval("SELECT count(*) FROM edges") == 0
    await stores.close()
