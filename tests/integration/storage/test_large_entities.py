"""Entities of megabytes: a flush reads each of them a few times, however many of its fields the batch tells."""

import asyncio
import random
from typing import Any, Final

import pytest

from app.core.models import Batch, PropertyRow
from storage.stores import Stores
from tests.rows import prop

pytestmark = pytest.mark.integration

FIELDS: Final = 1_000
BYTES: Final = 3_500_000
MOST_READINGS: Final = (
    12  # of the compare, both conditions of the lock, the merge, the old values, and the new text
)


def large(reference: str) -> list[PropertyRow]:
    """All of one entity: digits by chance, since what repeats itself would be compressed."""
    rng = random.Random(reference)
    return [
        prop(reference, f"f{n}", f'"{rng.randbytes(BYTES // FIELDS // 2 - 40).hex()}"') for n in range(FIELDS)
    ]


async def toast_pages(db: Any) -> int:
    """The pages that all sessions have read of what is stored beside the rows of entities."""
    await asyncio.sleep(0.1)
    await db.execute("SELECT pg_stat_clear_snapshot()")
    pages: int = await db.fetchval(
        "SELECT coalesce(toast_blks_hit, 0) + coalesce(toast_blks_read, 0) FROM pg_statio_user_tables "
        "WHERE relname = 'entities'"
    )
    return pages


async def readings(db: Any, stores: Stores, batch: Batch) -> float:
    """How often a write reads the whole entity, about; a piece of 2 kB is a page and a look into an index."""
    await flushed_statistics(stores)
    before = await toast_pages(db)
    await stores.writer.write(batch)
    await flushed_statistics(stores)
    return (await toast_pages(db) - before) / (BYTES / 2_000)


async def flushed_statistics(stores: Stores) -> None:
    async with stores.writer._pool.acquire() as connection:  # type: ignore[attr-defined]
        await connection.execute("SELECT pg_stat_force_next_flush()")


@pytest.mark.parametrize("fields", [1, FIELDS])
async def test_how_often_an_entity_is_read_does_not_depend_on_the_fields(
    stores: Stores, db: Any, fields: int
) -> None:
    await stores.writer.write(Batch(properties=large("large")))
    told = [prop("large", f"f{n}", "1", 1) for n in range(fields)]
    assert 1 < await readings(db, stores, Batch(properties=told)) <= MOST_READINGS
    assert await readings(db, stores, Batch(properties=told)) <= 2, "a replay compares, and no more"


async def test_five_of_them_in_one_window_of_small_records_are_written(stores: Stores, db: Any) -> None:
    names = [f"large-{n}" for n in range(5)]
    for name in names:
        await stores.writer.write(Batch(properties=large(name)))
    told = [prop(name, f"f{n}", f'"{n}"', 1) for name in names for n in range(FIELDS)]
    rest = [prop(f"small-{n}", "f", "1") for n in range(1_000)]
    changes = await stores.writer.write(Batch(properties=told + rest))
    assert changes.properties_changed == len(told) + len(rest)
    assert not await stores.writer.write(Batch(properties=told + rest))
