"""Records for the three ingesting agents, and what must be true of the database after them."""

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Final

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from agents.entities_edges import EntitiesEdges
from agents.entity_properties import EntityProperties
from agents.temporal_data import TemporalData
from app.config.settings import Role, Settings
from app.core.models import Batch
from load.generate import messages
from load.generate.sending import Message, send
from load.generate.world import World
from storage.stores import Stores
from tests.e2e.workers import Worker, fingerprint, offsets

INGESTION: Final = [Role.ENTITIES_EDGES, Role.ENTITY_PROPERTIES, Role.TEMPORAL_DATA]
PER_TOPIC: Final = 3_000  # of the fault tests, so that one undisturbed run serves all of them
# Slow enough to be met in the middle: some fifteen windows of each topic, and offsets committed between them.
SMALL_WINDOWS: Final = {
    "PROFILE_WINDOW_MAX_RECORDS": "200",
    "PROFILE_FETCH_MAX_RECORDS": "100",
    "PROFILE_COMMIT_INTERVAL_S": "0.05",
}

Fingerprint = Mapping[str, tuple[int, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Undisturbed:
    """Topics with the records of PER_TOPIC, their number, and what a worker made of them without a fault."""

    topic_prefix: str
    total: int
    fingerprint: Fingerprint


def ingesting(settings: Settings, **changes: object) -> Settings:
    """The settings of a worker with the three ingesting agents."""
    return settings.model_copy(update={"roles": INGESTION, **changes})


def records(settings: Settings, per_topic: int) -> dict[str, list[Message]]:
    """Up to that many records for each topic, in an order of their own; always the same ones."""
    world = World(seed=7, users=max(200, per_topic // 6), months=12, until=datetime(2026, 1, 1, tzinfo=UTC))
    sources = (
        messages.entities_edges(world),
        messages.entity_properties(world, conflict_rate=0.2),
        messages.temporal_data(world),
    )
    told = {}
    for topic, name, source in zip(settings.topics.normalised, INGESTION, sources, strict=True):
        told[topic] = list(islice(source, per_topic))
        random.Random(name).shuffle(told[topic])
    return told


async def fill(settings: Settings, per_topic: int) -> int:
    """Send those records; returns the sum."""
    told = records(settings, per_topic)
    return sum(
        [await send(settings.kafka_brokers, topic, each, total=len(each)) for topic, each in told.items()]
    )


async def trickle(settings: Settings, per_topic: int, *, within_s: float) -> int:
    """Send the records of `fill` spread over that time, through outages of the broker; returns their sum."""
    told = records(settings, per_topic)
    rounds = max(1, round(within_s / 0.1))
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka_brokers, enable_idempotence=True, request_timeout_ms=60_000
    )
    await producer.start()
    try:
        pending = []
        for turn in range(rounds):
            for topic, waiting in told.items():
                pending += [
                    await producer.send(topic, each.value, key=each.key, timestamp_ms=each.timestamp_ms)
                    for each in waiting[turn::rounds]
                ]
            await asyncio.sleep(within_s / rounds)
        for delivery in pending:
            await delivery
    finally:
        await producer.stop()
    return len(pending)


async def has_written(settings: Settings, points: int, *, within_s: float) -> None:
    """Wait until the database holds so many temporal rows."""
    connection = await asyncpg.connect(settings.postgres_dsn.get_secret_value())
    try:
        async with asyncio.timeout(within_s):
            while True:
                if await connection.fetchval("SELECT count(*) FROM temporal_properties") >= points:
                    return
                await asyncio.sleep(0.02)
    finally:
        await connection.close()


async def finish(settings: Settings, undisturbed: Undisturbed, log: Path) -> None:
    """Start a worker without faults; when all is committed the database is that of the undisturbed run."""
    with Worker(settings, log) as worker:
        await require_undisturbed(worker, undisturbed)


async def require_undisturbed(worker: Worker, undisturbed: Undisturbed) -> None:
    """Wait until the worker has committed all, stop it, and compare."""
    settings = worker.settings
    await worker.has_committed(settings.topics.normalised, undisturbed.total, within_s=60)
    assert await worker.terminate(within_s=20) == 0
    assert await fingerprint(settings.postgres_dsn.get_secret_value()) == undisturbed.fingerprint


async def require_written(settings: Settings) -> int:
    """Fail where an offset is committed past a record that the database does not hold; returns the offsets' sum."""
    ends = {
        partition: end
        for partition, end in (await offsets(settings, settings.topics.normalised)).items()
        if end
    }
    batch = await _decoded(settings, ends)
    stores = await Stores.open(settings.model_copy(update={"cache_enabled": False}))
    try:
        preview = await stores.preview.preview(batch)
    finally:
        await stores.close()
    lost = [
        each
        for differences in (preview.entities, preview.properties, preview.edges, preview.temporal)
        for each in differences
        if each.outcome in ("created", "changed")
    ]
    assert not lost, f"{len(lost)} rows of committed records are not in the database, such as {lost[0]}"
    return sum(ends.values())


async def _decoded(settings: Settings, ends: Mapping[TopicPartition, int]) -> Batch:
    """The rows of all records before these offsets."""
    decoders = dict(
        zip(
            settings.topics.normalised,
            (EntitiesEdges(settings), EntityProperties(settings), TemporalData(settings)),
            strict=True,
        )
    )
    batch = Batch()
    if not ends:
        return batch
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka_brokers, auto_offset_reset="earliest", group_id=None
    )
    await consumer.start()
    try:
        consumer.assign(list(ends))
        left = dict(ends)
        async with asyncio.timeout(30):
            while left:
                for partition, found in (await consumer.getmany(timeout_ms=500)).items():
                    for record in found:
                        if record.offset < ends[partition]:
                            decoders[partition.topic].add(record, batch)
                    if found and found[-1].offset + 1 >= ends[partition]:
                        left.pop(partition, None)
    finally:
        await consumer.stop()
    return batch
