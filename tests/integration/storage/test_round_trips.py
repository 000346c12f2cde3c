"""From the first row that a flush locks to its commit the client is asked as seldom as can be.

A transaction is as long as its round trips times the lateness of the event loop, and other writers of its rows wait.
"""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

import storage.stores
from app.config.settings import Settings
from app.core.models import Batch, RemovedEdge
from app.core.refusals import RefusedRowsError
from storage.postgres.pools import Prepare, open_writer
from storage.postgres.queries import load
from storage.stores import Stores
from tests.rows import edge, entity, point, prop

pytestmark = pytest.mark.integration

LOCKING = re.compile(r"\b(INSERT|UPDATE|DELETE)\b|FOR NO KEY UPDATE|flush_staged", re.IGNORECASE)
NAMES = {text: name for name, text in load().items()}


@dataclass
class CountedConnection:
    """Notes each round trip of a transaction."""

    connection: Any
    trips: list[str]

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        async with self.connection.transaction():
            self.trips.append("BEGIN")
            yield
            self.trips.append("COMMIT")

    async def fetch(self, text: str, *arguments: object) -> Any:
        self.trips.append(NAMES.get(text, text))
        return await self.connection.fetch(text, *arguments)

    async def fetchval(self, text: str, *arguments: object) -> Any:
        self.trips.append(NAMES.get(text, text))
        return await self.connection.fetchval(text, *arguments)

    async def execute(self, text: str, *arguments: object) -> Any:
        self.trips.append(NAMES.get(text, text))
        return await self.connection.execute(text, *arguments)

    async def copy_records_to_table(self, table: str, **options: Any) -> Any:
        self.trips.append(f"COPY {table}")
        return await self.connection.copy_records_to_table(table, **options)


@dataclass
class CountedPool:
    pool: Any
    trips: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def acquire(self, *, timeout: float) -> AsyncIterator[Any]:  # noqa: ASYNC109 - asyncpg's name
        async with self.pool.acquire(timeout=timeout) as connection:
            yield CountedConnection(connection, self.trips)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.pool, name)


@pytest.fixture
async def pools(monkeypatch: pytest.MonkeyPatch) -> list[CountedPool]:
    opened: list[CountedPool] = []

    async def counted(settings: Settings, *checks: Prepare) -> CountedPool:
        opened.append(CountedPool(await open_writer(settings, *checks)))
        return opened[-1]

    monkeypatch.setattr(storage.stores, "open_writer", counted)
    return opened


@pytest.fixture
async def stores(pools: list[CountedPool], settings: Settings) -> AsyncIterator[Stores]:
    opened = await Stores.open(settings)
    yield opened
    await opened.close()


def locked(trips: list[str]) -> list[str]:
    """The round trips from the first lock to COMMIT."""
    queries = load()
    first = next(n for n, trip in enumerate(trips) if LOCKING.search(queries.get(trip, "")))
    return trips[first : trips.index("COMMIT") + 1]


async def test_rows_are_locked_for_one_statement_and_the_commit(
    stores: Stores, pools: list[CountedPool]
) -> None:
    large = [prop("large", f"f{n}", f'"{n:01000}"') for n in range(999)]  # near all of its limits
    await stores.writer.write(Batch(properties=large))
    pools[0].trips.clear()
    await stores.writer.write(
        Batch(
            entities=[entity("a")],
            properties=[prop("b", "f", "1"), prop("large", "f0", "1", 1)],
            edges=[edge("a", "b"), edge("c", "d", metadata='{"v": 1}')],
            temporal=[point("a", "k", "1")],
            removed_edges=[RemovedEdge("user", "a", "user", "z", "knows")],
        )
    )
    assert locked(pools[0].trips) == ["flush_staged", "COMMIT"]
    pools[0].trips.clear()
    await stores.writer.write(Batch(removed_edges=[RemovedEdge("user", "a", "user", "b", "knows")]))
    assert locked(pools[0].trips)[-2:] == ["flush_staged", "COMMIT"]


async def test_what_has_no_room_is_refused_before_anything_is_staged(
    stores: Stores, pools: list[CountedPool], settings: Settings
) -> None:
    """Else half a window is copied, merged into megabytes, compressed and logged, and all of it rolled back."""
    most = settings.max_entity_bytes
    stored = [prop("large", f"f{n}", f'"{"x" * (most // 100 - 200)}"') for n in range(98)]
    await stores.writer.write(Batch(properties=stored))
    more = [prop("large", f"f{n}", f'"{"y" * (most // 50)}"', 1) for n in range(50)]
    others = [prop(f"u{n}", "f", "1") for n in range(50)]
    pools[0].trips.clear()
    with pytest.raises(RefusedRowsError) as refused:
        await stores.writer.write(Batch(properties=[*more, *others]))
    assert pools[0].trips.count("property_sizes") == 1
    assert not {trip for trip in pools[0].trips if trip.startswith(("COPY", "flush_staged"))}
    fitting = [
        row for row in more if refused.value.cause_in(Batch(properties=[row])) is None
    ]  # as many as the room that is left
    assert 0 < len(fitting) < 10

    # What only replaces as much is not asked about, however large it is.
    pools[0].trips.clear()
    await stores.writer.write(
        Batch(
            properties=[
                row._replace(value=row.value.replace("x", "z"), reference_date=more[0].reference_date)
                for row in stored
            ]
        )
    )  # type: ignore[union-attr]
    assert "property_sizes" not in pools[0].trips
    assert locked(pools[0].trips) == ["flush_staged", "COMMIT"]
