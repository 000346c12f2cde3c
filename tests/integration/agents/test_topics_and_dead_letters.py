"""Topics and dead letters on a real broker."""

import json

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient

from agents.entity_properties import EntityProperties
from app.config.settings import Settings
from app.config.topics import TopicNames, TopicSpec
from app.core.errors import FatalError, TransientError
from app.dead_letters.policy import DeadLetterPolicy
from app.dead_letters.sink import KafkaDeadLetters
from app.ingest.processor import IngestProcessor
from app.kafka.admin import create_topics
from storage.stores import Stores
from tests.unit.app.fakes import FakeRecord

pytestmark = pytest.mark.integration


async def test_topics_are_created_once(settings: Settings, topic_prefix: str) -> None:
    specs = [TopicSpec(name=f"{topic_prefix}{n}", partitions=n + 1) for n in range(3)]
    try:
        assert sorted(await create_topics(settings.kafka_brokers, specs)) == [spec.name for spec in specs]
        assert await create_topics(settings.kafka_brokers, specs) == []
    finally:
        admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_brokers)
        await admin.start()
        found = await admin.describe_topics([spec.name for spec in specs])
        await admin.delete_topics([spec.name for spec in specs])
        await admin.close()
    assert sorted(len(topic["partitions"]) for topic in found) == [1, 2, 3]


async def test_a_topic_that_kafka_refuses_is_an_error_with_its_name(settings: Settings) -> None:
    with pytest.raises(FatalError, match="not a topic"):
        await create_topics(settings.kafka_brokers, [TopicSpec(name="not a topic", partitions=1)])


async def test_a_broker_that_is_away_is_transient() -> None:
    with pytest.raises(TransientError, match="PROFILE_KAFKA_BROKERS"):
        await create_topics(["127.0.0.1:1"], [TopicSpec(name="t", partitions=1)])


async def test_bad_records_become_dead_letters_and_their_neighbours_rows(
    settings: Settings, topics: TopicNames
) -> None:
    topic = topics.entity_properties
    good = {
        "entity_reference": "u1",
        "entity_type": "user",
        "field_name": "email",
        "field_value": "a@b.c",
        "reference_date": "2025-01-15T10:30:00Z",
    }
    # Well-formed, and more digits than PostgreSQL's numeric holds: only the write finds it.
    huge = json.dumps(good | {"field_value": "HUGE"}).encode().replace(b'"HUGE"', b"9" * 140_000)
    values = [json.dumps(good).encode(), b"\xff", None, huge, json.dumps(good | {"field_name": "a"}).encode()]
    records = [FakeRecord(value=value, topic=topic, offset=n, key=b"k") for n, value in enumerate(values)]

    stores = await Stores.open(settings)
    sink = KafkaDeadLetters(settings.kafka_brokers)
    policy = DeadLetterPolicy(max_ratio=0.5, min_records=100, max_run=100)
    try:
        processor = IngestProcessor(EntityProperties(settings), stores.writer, sink, policy)
        await processor.process(records)
        answer = await stores.reader.graph(1, depth=1, since=None)
    finally:
        await sink.close()
        await stores.close()

    assert answer is not None
    assert sorted(json.loads(answer.body)["properties"]) == ["a", "email"]
    consumer = AIOKafkaConsumer(
        topics.dead_letters(topic),
        bootstrap_servers=settings.kafka_brokers,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=16 * 1024 * 1024,
    )
    await consumer.start()
    try:
        letters = [await consumer.getone() for _ in range(3)]
    finally:
        await consumer.stop()
    assert [letter.value for letter in letters] == [b"\xff", b"", huge]
    assert [letter.key for letter in letters] == [f"{topic}/0/{n}".encode() for n in (1, 2, 3)]
    assert {dict(letter.headers)["dlq.timestamp"] for letter in letters} == {b"1736937000123"}
    assert min(letter.timestamp for letter in letters) > 1_736_937_000_123, "stamped when it was written"
    codes = [dict(letter.headers)["dlq.error"] for letter in letters]
    assert codes[:2] == [b"invalid-utf8", b"tombstone"]
