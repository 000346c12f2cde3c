"""Reads dead-letter topics for people: one line a letter, without its value, which may be somebody's data."""

from collections.abc import Sequence
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from app.dates import from_epoch_ms, to_text
from app.topics import DLQ_SUFFIX

_TIMEOUT_MS: Final = 2_000


async def listed(brokers: Sequence[str], topics: Sequence[str]) -> list[str]:
    """`key  time  error  reason` of each letter of these original topics, in the order of the topic."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=list(brokers),
        enable_auto_commit=False,
        isolation_level="read_committed",
        # Not seek_to_beginning: the reset of a new assignment may come after it, and would go to the end.
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        lines = []
        for topic in topics:
            name = f"{topic}{DLQ_SUFFIX}"
            partition = TopicPartition(name, 0)
            consumer.assign([partition])
            end = (await consumer.end_offsets([partition]))[partition]
            while await consumer.position(partition) < end:
                fetched = await consumer.getmany(partition, timeout_ms=_TIMEOUT_MS)
                for record in (r for records in fetched.values() for r in records):
                    headers = {key: value.decode(errors="replace") for key, value in record.headers}
                    when = to_text(from_epoch_ms(record.timestamp))
                    key = (record.key or b"").decode(errors="replace")
                    error = headers.get("dlq.error", "?")
                    lines.append(f"{key}\t{when}\t{error}\t{headers.get('dlq.reason', '')}")
        return lines
    finally:
        await consumer.stop()
