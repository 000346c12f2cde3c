"""Writes by records of a topic, which count as acknowledged when the agents have committed their offsets."""

import asyncio
import json
import random
import time
from typing import Final

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError

from app.config.settings import Settings
from tests.e2e.history import Cell, History, Write
from tests.e2e.traffic import date_of

_POLL_S: Final = 0.05


class ToldByTopic:
    """One property of each user, through entity-properties."""

    def __init__(self, settings: Settings, history: History, *, seed: int) -> None:
        self._settings = settings
        self._topic = settings.topics.entity_properties
        self._history = history
        self._random = random.Random(seed)
        self._waiting: dict[TopicPartition, list[tuple[int, Write]]] = {}
        self.ending = False

    async def writes(self, users: list[str]) -> None:
        """Send until `ending`, each user's records with a pause between them."""
        producer = AIOKafkaProducer(bootstrap_servers=self._settings.kafka_brokers)
        await producer.start()
        try:
            await asyncio.gather(*(self._tells(producer, user) for user in users))
        finally:
            await producer.stop()

    async def _tells(self, producer: AIOKafkaProducer, user: str) -> None:
        cell: Cell = self._history.cell(f"{user}.told")
        while not self.ending:
            version = cell.version + 1
            record = {
                "entity_reference": user,
                "entity_type": "user",
                "field_name": "told",
                "field_value": version,
                "reference_date": date_of(version),
            }
            write = cell.begin(time.monotonic())
            sent = await producer.send_and_wait(self._topic, json.dumps(record).encode(), key=user.encode())
            self._waiting.setdefault(TopicPartition(self._topic, sent.partition), []).append(
                (sent.offset, write)
            )
            await asyncio.sleep(self._random.uniform(0.1, 0.5))

    def interrupt(self) -> None:
        """The agents died: what waits may be committed, and the caches not told."""
        for told in self._waiting.values():
            for _, write in told:
                write.interrupted = True

    async def acknowledges(self) -> None:
        """Look for committed offsets until cancelled."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self._settings.kafka_brokers)
        await admin.start()
        partitions = [TopicPartition(self._topic, n) for n in range(self._settings.topic_partitions)]
        try:
            while True:
                await asyncio.sleep(_POLL_S)
                try:
                    ends = await admin.list_consumer_group_offsets(
                        self._settings.group_id, partitions=partitions
                    )
                except GroupCoordinatorNotAvailableError:
                    continue
                now = time.monotonic()
                for partition, told in self._waiting.items():
                    end = ends[partition].offset
                    for offset, write in told:
                        if offset < end:
                            write.acked = now
                    self._waiting[partition] = [each for each in told if each[0] >= end]
        finally:
            await admin.close()

    async def settled(self, *, within_s: float) -> None:
        """Return when all that was sent is acknowledged."""
        async with asyncio.timeout(within_s):
            while any(self._waiting.values()):  # noqa: ASYNC110 - Kafka tells nobody
                await asyncio.sleep(_POLL_S)
