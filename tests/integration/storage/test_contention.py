"""Many writers on the same keys: nobody waits for good, and nothing is lost."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

import asyncpg
import pytest

from app.config.settings import Settings
from app.core.models import Batch, EdgeRow
from app.core.retry import RetryPolicy
from storage.stores import Stores
from tests.rows import DAY0

pytestmark = pytest.mark.integration

WORKERS = 5
EDGES = 60_000
ORGANISATIONS = 20
ROWS = 1_000  # of a batch


def members(user: int) -> EdgeRow:
    return EdgeRow("user", f"u{user}", "organisation", f"o{user % ORGANISATIONS}", "member", None, DAY0)


@dataclass
class Worker:
    """A process of its own, as far as PostgreSQL can tell."""

    stores: Stores
    db: Any
    created: int = 0
    retries: int = 0

    async def tell(self, users: list[int]) -> None:
        batch = Batch(edges=[members(user) for user in users])
        changes = await RetryPolicy().run(
            "A flush", partial(self.stores.writer.write, batch), on_retry=self._count_retry
        )
        self.created += changes.edges_changed
        # At once: later the other worker that tells these edges would make up for a loss.
        stored = await self.db.fetchval(
            "SELECT count(*) FROM entities e JOIN edges ON left_entity_id = e.id "
            "WHERE e.type = 'user' AND e.reference = ANY($1::text[])",
            [edge.left_reference for edge in batch.edges],
        )
        assert stored == len(users)

    def _count_retry(self) -> None:
        self.retries += 1


async def work(worker: Worker, number: int) -> None:
    mine = [user for user in range(EDGES) if number in (user % WORKERS, (user + 1) % WORKERS)]
    Random(number).shuffle(mine)
    for start in range(0, len(mine), ROWS):
        await worker.tell(mine[start : start + ROWS])


async def test_five_workers_on_the_same_keys_lose_no_edge(settings: Settings, db: Any) -> None:
    """Each edge is told by two workers, all entities are new, and every batch names every organisation."""
    async with AsyncExitStack() as opened:
        workers = []
        for _ in range(WORKERS):
            stores = await Stores.open(settings)
            opened.push_async_callback(stores.close)
            connection = await asyncpg.connect(settings.postgres_dsn.get_secret_value())
            opened.push_async_callback(connection.close)
            workers.append(Worker(stores, connection))
        await asyncio.gather(*(work(worker, number) for number, worker in enumerate(workers)))

    # Each edge was new to exactly one of those that told it; locks are taken in one order, so nobody was a victim.
    assert sum(worker.created for worker in workers) == EDGES
    assert sum(worker.retries for worker in workers) == 0
    assert await db.fetchval("SELECT count(*) FROM edges") == EDGES
    assert await db.fetchval("SELECT count(*) FROM entities") == EDGES + ORGANISATIONS
    wrong = await db.fetchval(
        "SELECT count(*) FROM edges JOIN entities u ON u.id = left_entity_id "
        "JOIN entities o ON o.id = right_entity_id "
        "WHERE o.reference <> 'o' || substr(u.reference, 2)::int % $1",
        ORGANISATIONS,
    )
    assert wrong == 0
