"""A compacted topic forgets what was removed from it, also where nothing more is written.

Kafka compacts a segment when it has ended, and a segment ends when a record comes after its time. So each partition
gets an empty record now and then, which compaction removes as well.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final, NoReturn

from app.core.failure_log import FailureLog
from app.kafka.partitioner import partition_of
from app.kafka.producer import DurableProducer, Outgoing
from app.kafka.reading import partitions_of

logger = logging.getLogger(__name__)

INTERVAL_S: Final = 3600.0
_PREFIX: Final = "beat/"  # readers pass over such keys


class TopicBeat:
    """Several processes may beat at once."""

    def __init__(self, brokers: Sequence[str], topic: str) -> None:
        self._brokers = brokers
        self._topic = topic
        self._producer = DurableProducer(brokers)
        self._failures = FailureLog(logger, f"{topic} is not compacted for now: %s")

    async def run(self) -> NoReturn:
        """Beat every hour, until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL_S)
            with self._failures.attempt():
                await self.beat()

    async def beat(self) -> None:
        """One record to each partition. Raises ProfileError, KafkaError, OSError or TimeoutError."""
        partitions = [each.partition for each in await partitions_of(self._brokers, self._topic)]
        keys: dict[int, bytes] = {}
        number = 0
        while len(keys) < len(partitions):
            key = f"{_PREFIX}{number}".encode()
            keys.setdefault(partition_of(key, partitions, partitions), key)
            number += 1
        await self._producer.publish(
            [Outgoing(self._topic, key, None, [], None) for _, key in sorted(keys.items())]
        )

    async def close(self) -> None:
        """Disconnect."""
        await self._producer.close()
