"""A broker's time, which no request of Kafka tells: the stamp of a record that it appends."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from aiokafka import AIOKafkaProducer

from app.config.topics import TopicSpec
from app.core.dates import from_epoch_ms
from app.kafka.admin import create_topics
from app.kafka.client import client_options

_BY_APPEND: Final = 1
_CONFIG: Final = {
    "message.timestamp.type": "LogAppendTime",
    "retention.ms": "3600000",
    "segment.ms": "3600000",
}
_TIMEOUT_S: Final = 5.0


class BrokerClock:
    """Asks the leader of a topic of its own, which is made at the first question and which nobody reads.

    Its records are empty and leave within hours.
    """

    def __init__(self, brokers: Sequence[str], topic: str) -> None:
        self._brokers = brokers
        self._topic = topic
        self._producer: AIOKafkaProducer | None = None

    async def now(self) -> datetime | None:
        """None where the topic keeps the stamps of producers.

        Raises ProfileError, KafkaError, OSError or TimeoutError.
        """
        if self._producer is None:
            await create_topics(
                self._brokers, [TopicSpec(name=self._topic, partitions=1, config=dict(_CONFIG))]
            )
        async with asyncio.timeout(_TIMEOUT_S):
            if self._producer is None:
                producer = AIOKafkaProducer(**client_options(self._brokers))
                try:
                    await producer.start()
                except BaseException:
                    await producer.stop()
                    raise
                self._producer = producer
            told = await self._producer.send_and_wait(self._topic, value=b"")
        return from_epoch_ms(told.timestamp) if told.timestamp_type == _BY_APPEND else None

    async def close(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.stop()
