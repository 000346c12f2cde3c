"""The generators on real servers."""

from datetime import UTC, datetime

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer

from app.config.settings import Settings
from app.config.topics import TopicNames
from load.errors import LoadError
from load.generate import entities_csv, messages
from load.generate.postgres import fill
from load.generate.sending import Message, send
from load.generate.world import World

pytestmark = pytest.mark.integration

WORLD = World(seed=11, users=30, months=3, until=datetime(2026, 2, 1, tzinfo=UTC))


async def test_a_world_is_copied_once(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert await fill(WORLD, settings, bulk_size=7, writers=3) == 0
    connection = await asyncpg.connect(settings.postgres_dsn.get_secret_value())
    try:
        counts = "SELECT (SELECT count(*) FROM entities), (SELECT count(*) FROM edges), count(*) FROM "
        before = tuple(await connection.fetchrow(counts + "temporal_properties") or ())
        assert before[0] == WORLD.count_nodes()
        assert before[1] == sum(len(node.links) for node in WORLD.nodes())
        assert before[2] == WORLD.count_points()

        capsys.readouterr()
        assert await fill(WORLD, settings, bulk_size=50, writers=2) == 0
        assert tuple(await connection.fetchrow(counts + "temporal_properties") or ()) == before
    finally:
        await connection.close()
    told = capsys.readouterr().out
    assert f"0 inserted, {WORLD.count_points():,} skipped: already there" in told
    assert "seed 11 was loaded before" in told

    rows, nested = await entities_csv.select(settings, 10)
    assert nested
    assert len(rows) == 10
    assert all(len(cpf) == 11 and email.endswith("@example.com") for _, email, cpf in rows)


async def test_messages_arrive_with_their_key_and_the_events_time(
    settings: Settings, topics: TopicNames
) -> None:
    sent = list(messages.entities_edges(WORLD))
    assert await send(settings.kafka_brokers, topics.entities_edges, sent, total=len(sent)) == len(sent)
    consumer = AIOKafkaConsumer(
        topics.entities_edges, bootstrap_servers=settings.kafka_brokers, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        got = [await consumer.getone() for _ in sent]
    finally:
        await consumer.stop()
    assert sorted(Message(r.key, r.value, r.timestamp) for r in got) == sorted(sent)
    assert len({r.partition for r in got}) > 1


async def test_a_topic_that_does_not_exist_is_not_made(settings: Settings) -> None:
    with pytest.raises(LoadError, match="does not exist"):
        await send(settings.kafka_brokers, settings.topics.temporal_data, [], total=0)
