"""What Kafka tells of time and of the ends of its topics."""

from datetime import UTC, datetime, timedelta

import pytest

from app.config.settings import Settings
from app.config.topics import TopicNames
from app.core.dates import to_epoch_ms
from app.kafka.broker_clock import BrokerClock
from app.kafka.log_ends import KafkaLogEnds
from app.kafka.producer import DurableProducer, Outgoing

pytestmark = pytest.mark.integration


async def test_a_topic_that_stamps_by_append_tells_the_brokers_time(
    settings: Settings, topics: TopicNames
) -> None:
    clock = BrokerClock(settings.kafka, topics.clock)
    by_producer = BrokerClock(settings.kafka, topics.domain_events)
    try:
        told = await clock.now()
        assert told is not None
        assert abs(told - datetime.now(UTC)) < timedelta(minutes=1)
        assert await by_producer.now() is None
    finally:
        await clock.close()
        await by_producer.close()


async def test_the_ends_of_topics_count_what_was_acknowledged_before(
    settings: Settings, topics: TopicNames
) -> None:
    producer = DurableProducer(settings.kafka)
    ends = KafkaLogEnds(settings.kafka, [topics.entities_edges, "no-such-topic"], timeout_s=20)
    away = KafkaLogEnds(["127.0.0.1:1"], [topics.entities_edges])
    try:
        before = await ends.ends()
        ahead = to_epoch_ms(datetime.now(UTC) + timedelta(minutes=30))
        await producer.publish(
            [Outgoing(topics.entities_edges, f"k{n}".encode(), b"{}", [], ahead) for n in range(20)]
        )
        after = await ends.ends()
        assert before is not None
        assert after is not None
        assert set(before) == set(after) == {topics.entities_edges}
        assert len(after[topics.entities_edges]) == settings.topic_partitions
        assert sum(after[topics.entities_edges]) - sum(before[topics.entities_edges]) == 20
        assert await away.ends() is None
    finally:
        await producer.close()
        await ends.close()
        await away.close()


async def test_topics_end_as_the_settings_say(settings: Settings, topics: TopicNames) -> None:
    specs = {spec.name: spec.config for spec in settings.topic_specs}
    assert {specs[name]["retention.ms"] for name in topics.sources} == {str(7 * 86_400_000)}
    assert {specs[topics.dead_letters(name)]["retention.ms"] for name in topics.sources} == {
        str(30 * 86_400_000)
    }
    endless = settings.model_copy(update={"source_retention_days": 0, "dead_letter_retention_days": 0})
    kept = {spec.name: spec.config for spec in endless.topic_specs}
    assert {kept[name]["retention.ms"] for name in topics.sources} == {"-1"}
    assert {kept[topics.dead_letters(name)]["cleanup.policy"] for name in topics.sources} == {"compact"}
