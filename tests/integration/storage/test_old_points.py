"""Points that are older than they are kept leave: without events, from the caches too, and never ahead of the slots."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from app.__main__ import main
from app.commands import points
from app.commands.command_stores import as_operator, open_stores
from app.config.settings import Settings
from app.core.errors import TransientError
from app.core.models import Batch
from storage.stores import Stores
from storage.write import old_points
from tests.integration.storage.test_points_migration import published
from tests.rows import point, user

pytestmark = pytest.mark.integration

BOUND: Final = datetime(2024, 1, 1, tzinfo=UTC)
OLD: Final = [datetime(2023, month, 5, tzinfo=UTC) for month in range(1, 13)]
NEW: Final = [datetime(2024, month, 5, tzinfo=UTC) for month in range(1, 7)]
USERS: Final = [f"u{n}" for n in range(30)]


@pytest.fixture
async def stores(settings: Settings) -> AsyncIterator[Stores]:
    """Those of the command, since a worker may not change what is published."""
    opened = await Stores.open(as_operator(settings))
    yield opened
    await opened.close()


def told(dates: list[datetime], value: str = "1") -> Batch:
    return Batch(temporal=[point(name, "k", value, date=date) for name in USERS for date in dates])


async def shown(stores: Stores, name: str) -> int:
    answer = await stores.reader.by_reference(user(name), depth=1, since=None)
    assert answer is not None
    return len((json.loads(answer.body)["temporal_data"] or {}).get("k", []))


async def test_they_leave_without_events_and_from_the_caches(
    stores: Stores, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(old_points, "IDS_AT_ONCE", 7)
    await db.execute(
        "SELECT pg_create_logical_replication_slot($1, 'pgoutput')", slot := f"s{db.get_server_pid()}"
    )
    await stores.writer.write(told(OLD + NEW))
    assert await shown(stores, "u3") == len(OLD + NEW)
    await published(db, slot)

    assert await stores.old_points.expire(BOUND) == len(OLD) * len(USERS)
    assert await shown(stores, "u3") == len(NEW)
    assert not (await stores.auditor.audit(sample=100, grace_s=0)).mismatches
    assert await published(db, slot) == {"I": 0, "U": 0, "D": 0}
    assert await stores.old_points.expire(BOUND) == 0

    # What is newer is told as ever, and the bound does not go back.
    await stores.old_points.expire(OLD[3])
    await stores.writer.write(told([OLD[5], NEW[0].replace(day=6)], "2"))
    assert await published(db, slot) == {"I": 0, "U": len(USERS), "D": 0}
    await stores.eraser.erase(user("u3"))
    made = await published(db, slot)
    assert made["D"] == len(NEW) + 1, "its points that are kept, and itself"


async def test_it_waits_for_replication_slots(
    stores: Stores, db: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(old_points, "_PATIENCE_S", 0.3)
    await stores.writer.write(told(OLD))
    slot = "CREATE OR REPLACE FUNCTION fullest_slot(OUT name text, OUT held bigint, OUT allowed bigint) "
    slot += "RETURNS SETOF record LANGUAGE sql AS $$ VALUES ('lagging', 3000000::bigint, 2000000::bigint) $$"
    await db.execute(slot)
    with pytest.raises(TransientError, match="slot lagging holds 2 MB of WAL and does not move"):
        await stores.old_points.expire(BOUND)
    assert await db.fetchval("SELECT count(*) FROM temporal_properties") == len(OLD) * len(USERS)


async def test_the_command_deletes_what_answers_leave_out_and_nothing_else(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both count from midnight. By the clock the command would delete points of less than a day that are shown."""
    settings = settings.model_copy(update={"temporal_retention_months": 1})
    now = datetime.now(UTC)
    edge = (now - timedelta(days=31)).replace(hour=0, minute=0, second=0, microsecond=0)
    almost_now = edge + (now - timedelta(days=31) - edge) / 2
    told_dates = [edge - timedelta(microseconds=1), edge, almost_now, now]
    async with open_stores(settings) as stores:
        await stores.writer.write(
            Batch(temporal=[point("u", "k", "1", granularity="instant", date=date) for date in told_dates])
        )
        before = await shown(stores, "u")
        monkeypatch.setattr(points, "Settings", lambda: settings)
        assert await asyncio.to_thread(main, ["expire-points"]) == 0
        assert capsys.readouterr().out.startswith("1 points from before ")
        assert before == await shown(stores, "u") == 3
