"""Points of all years that a date can have: kept, read, and no reason for partitions that nobody needs."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final, get_args

import asyncpg
import pytest

from app.config.settings import Settings
from app.core import dates
from app.core.models import Batch, Granularity
from storage.stores import Stores
from tests.rows import point, user

pytestmark = pytest.mark.integration

UNUSUAL: Final = [
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(1, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    datetime(1677, 9, 21, 0, 12, 43, 145224, tzinfo=UTC),
    datetime(2262, 4, 11, 23, 47, 16, 854776, tzinfo=UTC),
    datetime(2999, 1, 1, tzinfo=UTC),
    datetime(9999, 1, 1, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
]


async def partitions(db: Any) -> int:
    found: int = await db.fetchval(
        "SELECT count(*) FROM pg_inherits WHERE inhparent = 'public.temporal_properties'::regclass"
    )
    return found


async def test_they_are_kept_and_read_and_maintenance_makes_nothing_of_them(stores: Stores, db: Any) -> None:
    before = await partitions(db)
    sizes = get_args(Granularity)
    told = [
        point("a", f"{date.year}-{n}", "1", granularity=size, date=date)
        for n, date in enumerate(UNUSUAL)
        for size in sizes
    ]
    changes = await stores.writer.write(Batch(temporal=told))
    assert changes.temporal_changed == len(told)
    answer = await stores.reader.by_reference(user("a"), depth=1, since=None)
    assert answer is not None
    body = json.dumps(json.loads(answer.body))
    for date in UNUSUAL:
        assert body.count(dates.to_text(date)) == len(sizes), date
    for _ in range(24):
        await db.execute("SELECT partman.run_maintenance('public.temporal_properties')")
    await db.execute("CALL partman.run_maintenance_proc()")
    assert await partitions(db) == before
    assert not await stores.writer.write(Batch(temporal=told))


@pytest.fixture
async def from_long_ago(settings: Settings) -> AsyncIterator[Stores]:
    """Stores that make partitions for all but the first years."""
    opened = await Stores.open(settings.model_copy(update={"partition_months_from": "1900-01"}))
    yield opened
    await opened.close()


async def test_a_window_of_a_thousand_new_months_makes_a_few_partitions(
    from_long_ago: Stores, db: Any
) -> None:
    before = await partitions(db)
    now = datetime.now(UTC).replace(day=1)
    months = [now.replace(year=now.year - n // 12, month=n % 12 + 1) for n in range(1_000)]
    batch = Batch(temporal=[point("a", "k", f"{n}", date=month) for n, month in enumerate(months)])
    assert (await from_long_ago.writer.write(batch)).temporal_changed == 1_000
    assert before < await partitions(db) <= before + 12
    newest = await db.fetchval("SELECT max(period_start) FROM temporal_properties_default")
    assert newest < now - timedelta(days=150), "the months next to the present have the partitions"
    again = Batch(temporal=[point("b", "k", f"{n}", date=month) for n, month in enumerate(months)])
    made = await partitions(db)
    assert (await from_long_ago.writer.write(again)).temporal_changed == 1_000
    assert await partitions(db) == made, "what has rows in the default partition stays there"
    await db.execute("SELECT partman.run_maintenance('public.temporal_properties')")
    assert await partitions(db) == made


async def test_a_month_whose_first_row_is_not_committed_is_written_beside_it(
    stores: Stores, settings: Settings, db: Any
) -> None:
    """The other one's row is in the default partition, and nobody sees it yet."""
    date = datetime(1998, 3, 9, tzinfo=UTC)
    other = await asyncpg.connect(settings.postgres_dsn.get_secret_value())
    try:
        transaction = other.transaction()
        await transaction.start()
        await other.execute(
            "INSERT INTO temporal_properties VALUES (1, 'k', 'day', '1998-03-04', '1998-03-04', 0, '1', '')"
        )
        writing = asyncio.create_task(stores.writer.write(Batch(temporal=[point("a", "k", "2", date=date)])))
        waiting = (
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        async with asyncio.timeout(20):
            while not await db.fetchval(waiting):  # noqa: ASYNC110 - that is what is waited for
                await asyncio.sleep(0.05)
        await transaction.commit()
        assert (await writing).temporal_changed == 1
    finally:
        await other.close()
    assert await db.fetchval("SELECT count(*) FROM temporal_properties_default") == 2
