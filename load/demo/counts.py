"""How far the data has come: records in topics, rows in PostgreSQL."""

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition

from app.kafka.client import client_options


@dataclass(frozen=True, slots=True, kw_only=True)
class RowCounts:
    """Rows of the primary; `payments` is the sum over all user-months."""

    entities: int
    edges: int
    temporal: int
    payments: int


async def rows(dsn: str, *, known: Sequence[str]) -> RowCounts:
    """Count on the primary; `known` limits the payments to these users."""
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        row = await connection.fetchrow(
            """
            SELECT (SELECT count(*) FROM entities) AS entities,
                   (SELECT count(*) FROM edges WHERE removed_at IS NULL) AS edges,
                   (SELECT count(*) FROM temporal_properties) AS temporal,
                   (SELECT coalesce(sum((t.value ->> 'transaction_count')::bigint), 0)
                    FROM temporal_properties t JOIN entities e ON e.id = t.entity_id
                    WHERE t.key = 'payments' AND t.granularity = 'month'
                      AND e.type = 'user' AND e.reference = ANY($1::text[])) AS payments
            """,
            list(known),
        )
    finally:
        await connection.close()
    assert row is not None  # noqa: S101 — an aggregate without GROUP BY has one row
    return RowCounts(**{name: int(value) for name, value in row.items()})


async def topic_sizes(brokers: Sequence[str], topics: Sequence[str]) -> dict[str, int]:
    """Offsets written to each topic, transaction markers included."""
    consumer = AIOKafkaConsumer(**client_options(brokers), enable_auto_commit=False)
    await consumer.start()
    try:
        sizes: dict[str, int] = {}
        for topic in topics:
            partitions = [TopicPartition(topic, p) for p in consumer.partitions_for_topic(topic) or ()]
            if not partitions:
                await consumer._client.force_metadata_update()  # noqa: SLF001
                partitions = [TopicPartition(topic, p) for p in consumer.partitions_for_topic(topic) or ()]
            begin = await consumer.beginning_offsets(partitions)
            end = await consumer.end_offsets(partitions)
            sizes[topic] = sum(end.values()) - sum(begin.values())
        return sizes
    finally:
        await consumer.stop()


async def event_about(
    brokers: Sequence[str], topic: str, key: bytes, *, preferred: str
) -> tuple[list[tuple[str, str]], str] | None:
    """Headers and body of an event with this key: the first of the preferred type, else any; or None."""
    consumer = AIOKafkaConsumer(
        topic,
        **client_options(brokers),
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level="read_committed",
    )
    found: tuple[list[tuple[str, str]], str] | None = None
    await consumer.start()
    try:
        while fetched := await consumer.getmany(timeout_ms=3_000, max_records=5_000):
            for record in (r for records in fetched.values() for r in records):
                if record.key == key:
                    found = [(name, value.decode()) for name, value in record.headers], record.value.decode()
                    if ("event_type", preferred) in found[0]:
                        return found
        return found
    finally:
        await consumer.stop()
