"""Reading a topic to its end, and how far its consumer groups are."""

import asyncio
from collections.abc import AsyncIterator, Container, Mapping, Sequence

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from app.core.errors import FatalError, TransientError
from app.core.oversized import OversizedBatch
from app.kafka.client import client_options, unreachable

_POLL_MS = 1_000
_STALL_S = 30.0


async def read_to_end(
    brokers: Sequence[str], topic: str, *, after: Mapping[int, int] | None = None
) -> "AsyncIterator[list[ConsumerRecord[bytes, bytes]]]":
    """All committed records up to the end as it is now, in the order of each partition, fetch by fetch.

    `after`: of these partitions not those before these offsets, which are not before what the topic holds.

    Raises TransientError where Kafka does not answer or nothing comes for 30 s, FatalError where there is no topic, or
    a batch that is too large to be unpacked.
    """
    consumer = AIOKafkaConsumer(
        **client_options(brokers), auto_offset_reset="earliest", isolation_level="read_committed"
    )
    try:
        await consumer.start()
        partitions = await partitions_of(brokers, topic)
        ends = await consumer.end_offsets(partitions)
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        for partition in partitions:
            if after is not None and partition.partition in after:
                consumer.seek(partition, after[partition.partition])
        left = {partition for partition in partitions if await consumer.position(partition) < ends[partition]}
        idle_until = asyncio.get_running_loop().time() + _STALL_S
        while left:
            fetched = await consumer.getmany(timeout_ms=_POLL_MS, max_records=5_000)
            for partition, records in fetched.items():
                for record in records:
                    if type(record.value) is OversizedBatch:
                        raise FatalError(f"{topic}, partition {record.partition}: {record.value.reason}")
                yield [record for record in records if record.offset < ends[partition]]
            # Markers of transactions have offsets and no records.
            left = {partition for partition in left if await consumer.position(partition) < ends[partition]}
            now = asyncio.get_running_loop().time()
            if fetched:
                idle_until = now + _STALL_S
            elif now > idle_until:
                raise TransientError(f"Nothing came from {topic} for {_STALL_S:g} s: is the broker well?")
    except (KafkaError, OSError) as error:
        raise unreachable(brokers, error) from error
    finally:
        await consumer.stop()


async def bounds(brokers: Sequence[str], topic: str) -> dict[int, tuple[int, int]]:
    """Of each partition the offset of the first record that is there, and the one after the last.

    Raises TransientError or, where there is no topic, FatalError.
    """
    consumer = AIOKafkaConsumer(**client_options(brokers), isolation_level="read_committed")
    try:
        await consumer.start()
        partitions = await partitions_of(brokers, topic)
        starts = await consumer.beginning_offsets(partitions)
        ends = await consumer.end_offsets(partitions)
        return {each.partition: (starts[each], ends[each]) for each in partitions}
    except (KafkaError, OSError) as error:
        raise unreachable(brokers, error) from error
    finally:
        await consumer.stop()


async def unread(brokers: Sequence[str], topic: str, groups: Container[str]) -> int:
    """How many records of a topic none of these consumer groups has acknowledged.

    Of several groups the furthest counts for each partition, since a group of an earlier set of roles stands still.
    Raises TransientError or, where there is no topic, FatalError.
    """
    consumer = AIOKafkaConsumer(**client_options(brokers))
    admin = AIOKafkaAdminClient(**client_options(brokers))
    try:
        await consumer.start()
        await admin.start()
        partitions = await partitions_of(brokers, topic)
        starts = await consumer.beginning_offsets(partitions)
        ends = await consumer.end_offsets(partitions)
        reached = dict(starts)
        for group, *_ in await admin.list_consumer_groups():
            if group in groups:
                offsets = await admin.list_consumer_group_offsets(group, partitions=partitions)
                for partition, told in offsets.items():
                    reached[partition] = max(reached[partition], told.offset)
        return sum(max(0, ends[partition] - reached[partition]) for partition in partitions)
    except (KafkaError, OSError) as error:
        raise unreachable(brokers, error) from error
    finally:
        await consumer.stop()
        await admin.close()


async def partitions_of(brokers: Sequence[str], topic: str) -> list[TopicPartition]:
    """Those of a topic. Raises KafkaError, or FatalError where there is no topic."""
    admin = AIOKafkaAdminClient(**client_options(brokers))
    try:
        await admin.start()
        (told,) = await admin.describe_topics([topic])
    finally:
        await admin.close()
    if told["error_code"] or not told["partitions"]:
        raise FatalError(f"There is no topic {topic}: `python -m app topics` makes it.")
    return [TopicPartition(topic, number) for number in sorted(p["partition"] for p in told["partitions"])]
