"""Topics that bear the times of events end all the same: by what was noted of their ends."""

from collections.abc import Mapping, Sequence

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from app.config.settings import Settings
from app.config.topics import TopicNames
from app.kafka.log_ends import KafkaLogEnds
from app.kafka.producer import DurableProducer, Outgoing
from app.kafka.reading import partitions_of
from app.kafka.retention import LogRetention

pytestmark = pytest.mark.integration

LONG_AGO = 852_112_800_000  # 1997


class Notes:
    """A week ago the topics ended there."""

    def __init__(self, ends: Mapping[str, Sequence[int]]) -> None:
        self.ends = ends

    async def note(self, ends: Mapping[str, Sequence[int]]) -> None:
        pass

    async def notes(self) -> Sequence[tuple[float, Mapping[str, Sequence[int]]]]:
        return [(7.2, self.ends)]


async def acknowledge(settings: Settings, group: str, positions: Mapping[TopicPartition, int]) -> None:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka_brokers, group_id=group, enable_auto_commit=False
    )
    await consumer.start()
    consumer.assign(list(positions))
    await consumer.commit(dict(positions))
    await consumer.stop()


async def starts(settings: Settings, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka_brokers)
    await consumer.start()
    try:
        return dict(await consumer.beginning_offsets(list(partitions)))
    finally:
        await consumer.stop()


async def test_what_was_there_a_week_ago_and_is_acknowledged_is_deleted(
    settings: Settings, topics: TopicNames
) -> None:
    topic, group = topics.entity_properties, f"{topics.prefix}agents"
    producer, log_ends = DurableProducer(settings.kafka), KafkaLogEnds(settings.kafka, [topic], timeout_s=20)

    async def produce() -> Mapping[str, Sequence[int]]:
        records = [Outgoing(topic, f"k{n}".encode(), b"{}", [], LONG_AGO) for n in range(40)]
        await producer.publish(records)
        ends = await log_ends.ends()
        assert ends is not None
        return ends

    try:
        a_week_ago = await produce()
        await produce()
        partitions = await partitions_of(settings.kafka, topic)
        retention = LogRetention(
            settings.kafka, [topic], days=7, group_id=group, log_ends=log_ends, notes=Notes(a_week_ago)
        )
        await retention.enforce()
        assert sum((await starts(settings, partitions)).values()) == 0, "nobody has acknowledged anything"

        behind = partitions[0]
        old = {partition: a_week_ago[topic][partition.partition] for partition in partitions}
        await acknowledge(
            settings, group, {each: 1 if each == behind else old[each] + 1 for each in partitions}
        )
        await retention.enforce()
        await retention.enforce()
        assert await starts(settings, partitions) == {**old, behind: min(1, old[behind])}
    finally:
        await producer.close()
        await log_ends.close()
