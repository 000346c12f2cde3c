"""Brings messages to the real writer in rounds, through the agents' decoders, and reads what is stored then."""

import asyncio
import itertools
from collections.abc import Iterable, Sequence
from random import Random
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from agents.entities_edges import EntitiesEdges
from agents.entity_properties import EntityProperties
from agents.temporal_data import TemporalData
from app.config.settings import Settings
from app.core.models import Batch, Changes
from app.ports.writing import ProfileWriter
from tests.integration.storage.ingestion_model import (
    Edge,
    Entity,
    Message,
    Point,
    PointKey,
    Stored,
    Told,
    instant,
)
from tests.integration.storage.messages import message_sets
from tests.unit.app.fakes import FakeRecord

# The batches of one round are written at once, by as many workers. Rounds follow one another.
Rounds = Sequence[Sequence[Sequence[Message]]]

_SETTINGS = Settings(property_max_ahead_s=1e12)  # messages bear any date, and one timestamp
_DECODERS: dict[str, EntitiesEdges | EntityProperties | TemporalData] = {
    "entities-edges": EntitiesEdges(_SETTINGS),
    "entity-properties": EntityProperties(_SETTINGS),
    "temporal-data": TemporalData(_SETTINGS),
}


def batch_of(messages: Iterable[Message]) -> Batch:
    batch = Batch()
    for message in messages:
        _DECODERS[message.topic].add(FakeRecord(value=message.value, timestamp=message.timestamp), batch)
    return batch


def random_rounds(messages: Sequence[Message], random: Random) -> list[list[list[Message]]]:
    """All messages, some of them twice, in any order and split, over up to four workers."""
    deliveries = [*messages, *random.sample(messages, len(messages) // 2)]
    random.shuffle(deliveries)
    cuts = sorted(random.randrange(len(deliveries) + 1) for _ in range(random.randrange(8)))
    batches = [deliveries[a:b] for a, b in itertools.pairwise([0, *cuts, len(deliveries)]) if a < b]
    rounds: list[list[list[Message]]] = []
    while batches:
        workers = random.randint(1, 4)
        rounds.append(batches[:workers])
        del batches[:workers]
    return rounds


# The same messages in several ways. Seeds, since a Random of hypothesis hardly shuffles where it prefers small choices.
DELIVERIES: SearchStrategy[list[Rounds]] = st.builds(
    lambda messages, seed: [random_rounds(messages, Random(seed + number)) for number in range(3)],
    message_sets(),
    st.integers(0, 2**32),
)


def messages_of(rounds: Rounds) -> list[Message]:
    return [message for batches in rounds for messages in batches for message in messages]


async def stored_after(writer: ProfileWriter, db: Any, rounds: Rounds) -> Stored:
    """Empty the database, write the rounds, and read it."""
    for table in ("temporal_properties", "edges", "entities"):
        await db.execute(f"DELETE FROM {table}")
    for batches in rounds:
        await write_at_once(writer, db, [batch_of(messages) for messages in batches])
    return await _stored(db)


async def write_at_once(writer: ProfileWriter, db: Any, batches: Sequence[Batch]) -> None:
    """Write each batch by a worker of its own.

    What is there is locked until all workers have compared their batches with it, which is the worst that can
    happen: each but the first decides about rows that another one has changed since. Where nothing is there yet,
    they race for the inserts.
    """
    if len(batches) == 1:
        await writer.write(batches[0])
        return
    writes: list[asyncio.Task[Changes]] = []
    async with db.transaction():
        if await db.fetchval("SELECT EXISTS (SELECT FROM entities)"):
            await db.execute("SELECT FROM entities FOR NO KEY UPDATE")
            await db.execute("SELECT FROM edges FOR UPDATE")
            await db.execute("SELECT FROM temporal_properties FOR UPDATE")
        else:
            await db.execute("LOCK TABLE entities IN SHARE MODE")
        for batch in batches:
            writes.append(asyncio.create_task(writer.write(batch)))
            while sum(write.done() for write in writes) + await waiting(db) < len(writes):  # noqa: ASYNC110
                await asyncio.sleep(0.001)
    await asyncio.gather(*writes)


async def waiting(db: Any) -> int:
    await db.execute("SELECT pg_stat_clear_snapshot()")  # kept for a transaction otherwise
    waiting: int = await db.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    return waiting


async def _stored(db: Any) -> Stored:
    stored = Stored()
    entities = {}
    for id_, type_, reference in await db.fetch("SELECT id, type, reference FROM entities"):
        entities[id_] = Entity(type_, reference)
        stored.entities[entities[id_]] = {}
    for id_, name, date, value in await db.fetch(
        "SELECT id, key, value ->> 'reference_date', (value -> 'value')::text FROM entities, jsonb_each(properties)"
    ):
        stored.entities[entities[id_]][name] = Told(instant(date), value)
    for left, right, relation, date, metadata in await db.fetch(
        "SELECT left_entity_id, right_entity_id, relationship_type, metadata_date, metadata::text FROM edges "
        "WHERE removed_at IS NULL"
    ):
        told = None if (date, metadata) == (None, None) else Told(date, metadata)
        stored.edges[Edge(entities[left], entities[right], relation)] = told
    for id_, key, granularity, start, date, version, value, idempotency_key in await db.fetch(
        "SELECT entity_id, key, granularity, period_start, reference_date, version, value::text, idempotency_key "
        "FROM temporal_properties"
    ):
        period = idempotency_key.removeprefix(f"{id_}:{key}:{granularity}:")
        stored.points[PointKey(entities[id_], key, granularity, start)] = Point(date, version, value, period)
    return stored
