"""What a write leaves in PostgreSQL, counted: new rows are inserted once, a replay leaves nothing at all."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest

import storage.stores
from app.config.settings import Settings
from app.core.models import Batch, PropertyRow, RecordSource
from storage.postgres.pools import Prepare, open_writer
from storage.stores import Stores
from tests.rows import edge, entity, point, prop

pytestmark = pytest.mark.integration

USERS = 40


@dataclass
class WatchedPool:
    """The writer's pool; notes the id of each transaction at its end, and has its statistics told at once.

    Without an id a transaction can have changed no row, locked none and written no WAL. Positions of the WAL would
    tell of the whole server, where others write too.
    """

    pool: Any
    transaction_ids: list[str | None] = field(default_factory=list)

    @asynccontextmanager
    async def acquire(self, *, timeout: float) -> AsyncIterator[Any]:  # noqa: ASYNC109 - asyncpg's name
        async with self.pool.acquire(timeout=timeout) as connection:
            yield WatchedConnection(connection, self.transaction_ids.append)
            await connection.execute("SELECT pg_stat_force_next_flush()")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.pool, name)


@dataclass
class WatchedConnection:
    connection: Any
    note: Callable[[str | None], None]

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        async with self.connection.transaction():
            yield
            self.note(await self.connection.fetchval("SELECT pg_current_xact_id_if_assigned()::text"))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connection, name)


@pytest.fixture
async def pools(monkeypatch: pytest.MonkeyPatch) -> list[WatchedPool]:
    """The pools of writers that are opened from now on."""
    opened: list[WatchedPool] = []

    async def watched(settings: Settings, *checks: Prepare) -> WatchedPool:
        opened.append(WatchedPool(await open_writer(settings, *checks)))
        return opened[-1]

    monkeypatch.setattr(storage.stores, "open_writer", watched)
    return opened


@pytest.fixture
async def stores(pools: list[WatchedPool], settings: Settings) -> AsyncIterator[Stores]:
    """As everywhere, with a watched pool."""
    opened = await Stores.open(settings)
    yield opened
    await opened.close()


@pytest.fixture
async def pool(pools: list[WatchedPool], stores: Stores) -> WatchedPool:
    return pools[0]


def whole() -> Batch:
    """New entities by every kind of row, some told twice."""
    users = [f"u{n}" for n in range(USERS)]
    return Batch(
        entities=[entity(name) for name in users] * 2,
        properties=[prop(name, each, '"v"') for name in users for each in ("f", "g")] * 2,
        edges=[edge(name, f"o{n % 4}", metadata='{"role": "admin"}') for n, name in enumerate(users)] * 2
        + [edge(name, "plain") for name in users],
        temporal=[point(name, "k", "1.50") for name in users] * 2,
    )


async def tuples(db: Any, counter: str) -> dict[str, int]:
    """A counter of pg_stat_user_tables, the partitions of a table added up; tables at 0 left out."""
    rows = await db.fetch(
        f"SELECT coalesce(i.inhparent::regclass, s.relid::regclass)::text AS name, sum({counter})::bigint AS n "
        "FROM pg_stat_user_tables s LEFT JOIN pg_inherits i ON i.inhrelid = s.relid "
        f"WHERE s.schemaname = 'public' GROUP BY 1 HAVING sum({counter}) > 0"
    )
    return {row["name"]: row["n"] for row in rows}


async def written(db: Any) -> dict[str, dict[str, int]]:
    return {counter: await tuples(db, f"n_tup_{counter}") for counter in ("ins", "upd", "del")}


async def sequences(db: Any) -> dict[str, int]:
    return dict(
        await db.fetch(
            "SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = 'public' AND last_value IS NOT NULL"
        )
    )


async def test_a_batch_of_new_entities_inserts_each_row_once_and_updates_none(
    stores: Stores, pool: WatchedPool, db: Any
) -> None:
    await stores.writer.write(whole())
    assert await written(db) == {
        "ins": {"entities": USERS + 5, "edges": 2 * USERS, "temporal_properties": USERS},
        "upd": {},
        "del": {},
    }
    assert await tuples(db, "n_dead_tup") == {}
    assert await sequences(db) == {"entities_id_seq": USERS + 5, "edges_id_seq": 2 * USERS}


def from_offset(first: int, rows: list[PropertyRow]) -> list[PropertyRow]:
    return [row._replace(source=RecordSource("t", 0, first + n)) for n, row in enumerate(rows)]


async def test_a_replay_of_any_part_leaves_no_trace(
    stores: Stores, pools: list[WatchedPool], pool: WatchedPool, settings: Settings, db: Any
) -> None:
    batch, random = whole(), Random(7)
    batch.properties = from_offset(0, batch.properties)
    await stores.writer.write(batch)
    assert pool.transaction_ids[0] is not None
    batch.properties = from_offset(1_000, batch.properties)  # a replay has others
    before = (await written(db), await tuples(db, "n_dead_tup"), await sequences(db))

    restarted = await Stores.open(settings)
    try:
        for writer in (stores.writer, restarted.writer):
            assert not await writer.write(batch)
            for _ in range(10):
                parts = (batch.entities, batch.properties, batch.edges, batch.temporal)
                entities, properties, edges, temporal = (
                    random.sample(rows, random.randrange(len(rows))) for rows in parts
                )
                part = Batch(entities=entities, properties=properties, edges=edges, temporal=temporal)
                assert not await writer.write(part)
    finally:
        await restarted.close()
    assert pool.transaction_ids[1:] == pools[1].transaction_ids == [None] * 11
    assert (await written(db), await tuples(db, "n_dead_tup"), await sequences(db)) == before


async def test_what_is_older_leaves_no_trace(stores: Stores, pool: WatchedPool, db: Any) -> None:
    await stores.writer.write(whole())
    before = (await written(db), await sequences(db))
    older = Batch(
        properties=[prop("u1", "f", '"z"', -1)],
        edges=[edge("u1", "o1", metadata='{"role": "z"}', seconds=-1)],
        temporal=[point("u1", "k", "9", version=-1)],
    )
    assert not await stores.writer.write(older)
    assert pool.transaction_ids[1] is None
    assert (await written(db), await sequences(db)) == before


async def test_a_partial_change_writes_the_changed_rows_and_takes_ids_for_new_ones_alone(
    stores: Stores, pool: WatchedPool, db: Any
) -> None:
    batch = whole()
    await stores.writer.write(batch)
    before, ids = await written(db), await sequences(db)
    batch.properties += [prop(f"u{n}", "f", '"w"', 1) for n in range(3)]  # one row has both fields
    batch.edges += [edge(f"u{n}", f"o{n % 4}", metadata='{"role": "owner"}', seconds=1) for n in range(5)]
    batch.edges += [edge("u0", "new"), edge("u1", "new")]
    batch.temporal += [point("u0", "k", "2.50", version=1), point("u0", "other", "1")]
    changes = await stores.writer.write(batch)
    assert (changes.properties_changed, changes.edges_changed, changes.temporal_changed) == (3, 7, 2)
    after = await written(db)
    assert {name: n - before["ins"][name] for name, n in after["ins"].items()} == {
        "entities": 1,
        "edges": 2,
        "temporal_properties": 1,
    }
    assert after["upd"] == {"entities": 3, "edges": 5, "temporal_properties": 1}
    assert after["del"] == {}
    assert await tuples(db, "n_dead_tup") == after["upd"]
    assert {name: n - ids[name] for name, n in (await sequences(db)).items()} == {
        "entities_id_seq": 1,
        "edges_id_seq": 2,
    }
