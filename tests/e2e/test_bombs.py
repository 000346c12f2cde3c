"""A small batch that unpacks to more than a worker may hold is set aside by name, and its partition goes on."""

import json
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from app.config.settings import Settings
from app.config.topics import TopicNames
from load.generate.sending import Message, send
from tests.e2e.ingestion import ingesting
from tests.e2e.workers import Worker, fingerprint, read_all

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

LIMIT = 1024 * 1024


def body(reference: str) -> bytes:
    return json.dumps(
        {
            "entity_reference": reference,
            "entity_type": "user",
            "field_name": "score",
            "field_value": 1,
            "reference_date": "2025-01-15T10:30:00Z",
        }
    ).encode()


async def test_it_is_a_dead_letter_that_names_its_offsets(
    settings: Settings, topics: TopicNames, tmp_path: Path
) -> None:
    mine = ingesting(settings)
    topic = topics.entity_properties
    producer = AIOKafkaProducer(
        bootstrap_servers=mine.kafka_brokers,
        compression_type="gzip",
        max_request_size=64 * LIMIT,
        max_batch_size=64 * LIMIT,
    )
    await producer.start()
    try:
        batch = producer.create_batch()
        for number in range(3):
            assert batch.append(key=b"user", value=bytes(LIMIT) + b"%d" % number, timestamp=1_736_937_000_000)
        sent = await producer.send_batch(batch, topic, partition=0)
        bomb = (await sent).offset
    finally:
        await producer.stop()
    good = [Message(b"user", body(f"r{number}"), 1_736_937_000_000) for number in range(20)]
    await send(mine.kafka_brokers, topic, good, total=len(good))

    with Worker(mine, tmp_path / "worker.log", PROFILE_FETCH_MAX_UNPACKED_BYTES=str(LIMIT)) as worker:
        await worker.has_committed([topic], 3 + len(good), within_s=90)
        assert await worker.terminate(within_s=60) == 0

    (letter,) = await read_all(mine, topics.dead_letters(topic), 1)
    told = dict(letter.headers)
    assert told["dlq.error"] == b"batch-too-large"
    assert (told["dlq.topic"], told["dlq.partition"], told["dlq.offset"]) == (
        topic.encode(),
        b"0",
        str(bomb + 2).encode(),
    )
    assert f"The records {bomb} to {bomb + 2} are one gzip batch".encode() in told["dlq.reason"]
    assert (await fingerprint(mine.postgres_dsn.get_secret_value()))["entities"][0] == len(good)
