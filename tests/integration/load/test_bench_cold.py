"""The benchmark of the mix from empty caches, as small as it can be: each request is asked once and answered."""

from datetime import UTC, datetime

import asyncpg
import pytest

from app.config.settings import Settings
from load.bench import cold
from load.generate.postgres import fill
from load.generate.world import World
from load.measure.server_cpu import ServerCpu
from tests.e2e.workers import environment

pytestmark = pytest.mark.integration

WORLD = World(seed=13, users=40, months=3, until=datetime(2026, 2, 1, tzinfo=UTC))
BACKLOG = 500


@pytest.mark.timeout(200)
async def test_each_request_is_counted_with_and_without_changes_that_wait(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)
    await fill(WORLD, settings, bulk_size=500, writers=2)
    connection = await asyncpg.connect(settings.postgres_dsn.get_secret_value())
    ids = [row["id"] for row in await connection.fetch("SELECT id FROM entities WHERE type = 'user'")]
    await connection.close()
    paths = [f"/v1/graph/{number}?depth={depth}" for number in ids for depth in (1, 3)]
    unseen = ServerCpu(redis=None, postgres=None)
    found = [await cold.measure(paths, unseen, connections=10, backlog=backlog) for backlog in (0, BACKLOG)]
    for each in found:
        assert each.answers.asked == len(each.answers.seconds) == len(paths) == 2 * len(ids)
        assert (each.answers.refused, each.answers.wrong, each.answers.timed_out) == (0, 0, 0)
        assert each.cpu_ms > 0
    assert found[0].published == 0 < found[1].published
    assert cold.table(found).count("\n| 10 |") == len(found)
