"""A connector on the test's database, and the two topics of the CDC parts."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from app.config.settings import Settings
from infra.connector import ConnectClient, connector_config
from infra.settings import InfraSettings
from tests.integration.cdc.capture import capture, cdc_settings  # noqa: F401 - fixtures
from tests.unit.cdc.schemas import require_valid

PARTITIONS = 3


@pytest.fixture
async def domain_topic(kafka_stack: InfraSettings, topic_prefix: str) -> AsyncIterator[str]:
    """An empty topic for domain events."""
    name = f"{topic_prefix}user-profile.domain-events.v1"
    async for created in _topic(kafka_stack.kafka_broker, name):
        yield created


@pytest.fixture
async def cdc_topic(kafka_stack: InfraSettings, topic_prefix: str) -> AsyncIterator[str]:
    """An empty topic for changes."""
    name = f"{topic_prefix}user-profile.cdc.all-tables"
    async for created in _topic(kafka_stack.kafka_broker, name):
        yield created


@pytest.fixture
async def dead_topic(kafka_stack: InfraSettings, topic_prefix: str) -> AsyncIterator[str]:
    """An empty topic for changes that can't become events."""
    name = f"{topic_prefix}user-profile.cdc.all-tables.dlq"
    async for created in _topic(kafka_stack.kafka_broker, name):
        yield created


async def _topic(broker: str, name: str) -> AsyncIterator[str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker)
    await admin.start()
    try:
        answer = await admin.create_topics([NewTopic(name, PARTITIONS, 1)])
        assert [error[1] for error in answer.topic_errors] == [0]
        yield name
        await admin.delete_topics([name])
    finally:
        await admin.close()


@pytest.fixture
async def connector(
    connect_stack: InfraSettings, settings: Settings, cdc_topic: str, run_id: str
) -> AsyncIterator[str]:
    """A running connector from the test's database to `cdc_topic`."""
    client = ConnectClient(connect_stack.connect_url)
    name = f"cdc_{run_id}"
    config = connector_config(
        database_dsn=settings.postgres_dsn.get_secret_value(),
        cdc_topic=cdc_topic,
        slot=name,
        topic_prefix=settings.topic_prefix,
    )
    await asyncio.to_thread(client.register, name, config)
    yield name
    await asyncio.to_thread(client.delete, name)
    admin = AIOKafkaAdminClient(bootstrap_servers=connect_stack.kafka_broker)
    await admin.start()
    logical = f"{settings.topic_prefix}user-profile"  # its heartbeats have topics of their own
    await admin.delete_topics([f"{logical}.public.dbz_heartbeat", f"__debezium-heartbeat.{logical}"])
    await admin.close()


@pytest.fixture
async def sql(settings: Settings) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    """A connection to the primary, past all writers."""
    connection = await asyncpg.connect(settings.postgres_dsn.get_secret_value())
    yield connection
    await connection.close()


async def read(broker: str, topic: str, count: int, *, timeout_s: float = 120) -> list[Any]:
    """The first `count` committed records of all partitions; fails with what came when no more do."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=broker, auto_offset_reset="earliest", isolation_level="read_committed"
    )
    await consumer.start()
    found: list[Any] = []
    try:
        consumer.assign([TopicPartition(topic, number) for number in range(PARTITIONS)])
        await consumer.seek_to_beginning()
        async with asyncio.timeout(timeout_s):
            while len(found) < count:
                for batch in (await consumer.getmany(timeout_ms=200)).values():
                    found.extend(batch)
    except TimeoutError:
        pytest.fail(f"{len(found)} of {count} records came.")
    finally:
        await consumer.stop()
    return found


async def read_events(broker: str, topic: str, count: int, *, timeout_s: float = 120) -> list[Any]:
    """As `read`, of the topic of domain events: each of them keeps to its schema."""
    found = await read(broker, topic, count, timeout_s=timeout_s)
    for record in found:
        require_valid(record.value, record.headers)
    return found


async def ends(broker: str, topic: str) -> int:
    """How many records a topic holds that never lost one."""
    consumer = AIOKafkaConsumer(bootstrap_servers=broker)
    await consumer.start()
    try:
        partitions: Sequence[TopicPartition] = [TopicPartition(topic, n) for n in range(PARTITIONS)]
        return sum((await consumer.end_offsets(partitions)).values())
    finally:
        await consumer.stop()
