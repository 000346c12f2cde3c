"""A real worker on windows of which nearly half is refused: it goes on, and each letter is published once."""

import json
from pathlib import Path
from typing import Any, Final

import pytest
from aiokafka import AIOKafkaConsumer

from app.config.settings import Role, Settings
from app.config.topics import DLQ_SUFFIX, TopicNames
from load.generate.sending import Message, send
from tests.e2e.workers import Worker

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

RECORDS: Final = 5_000
MOST: Final = 100  # properties of an entity


def message(reference: str, field: str) -> Message:
    told = {
        "entity_reference": reference,
        "entity_type": "user",
        "field_name": field,
        "field_value": 1,
        "reference_date": "2025-01-15T10:30:00Z",
    }
    return Message(b"user", json.dumps(told).encode(), 1_736_937_000_000)


async def test_a_worker_goes_on_past_records_for_entities_at_their_limit(
    settings: Settings, topics: TopicNames, db: Any, tmp_path: Path
) -> None:
    own = settings.model_copy(update={"roles": [Role.ENTITY_PROPERTIES]})
    topic = topics.entity_properties
    await db.execute(
        "INSERT INTO entities (type, reference, properties) SELECT 'user', 'full' || n, jsonb_object_agg('f' || f, "
        """'{"value": 0, "reference_date": "2025-01-01T00:00:00.000000Z"}'::jsonb) """
        "FROM generate_series(0, 8) AS n, generate_series(1, $1::integer) AS f GROUP BY n",
        MOST,
    )
    told = [
        message(f"full{n % 20}", f"new{n}") if n % 20 < 9 else message(f"u{n}", "f") for n in range(RECORDS)
    ]
    limits = {"PROFILE_MAX_PROPERTIES_PER_ENTITY": str(MOST), "PROFILE_WINDOW_LINGER_S": "1"}
    with Worker(own, tmp_path / "worker.log", **limits) as worker:
        await send(own.kafka_brokers, topic, told, total=RECORDS)
        await worker.has_committed([topic], RECORDS, within_s=90)
        assert await worker.terminate(within_s=20) == 0
    assert await db.fetchval("SELECT count(*) FROM entities WHERE reference LIKE 'u%'") == RECORDS * 11 // 20
    assert await letters(own, f"{topic}{DLQ_SUFFIX}") == RECORDS * 9 // 20


async def letters(settings: Settings, topic: str) -> int:
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=settings.kafka_brokers, auto_offset_reset="earliest")
    await consumer.start()
    try:
        ends = await consumer.end_offsets(consumer.assignment())
        return sum(ends.values())
    finally:
        await consumer.stop()
