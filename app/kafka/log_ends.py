"""Up to where the topics are written, to separate what came before an erasure from what came after."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from typing import Final

from app.kafka.client import AIOKafkaAdminClient, AIOKafkaConsumer, KafkaError, TopicPartition, client_options

logger = logging.getLogger(__name__)

_TIMEOUT_S: Final = 2.0


class KafkaLogEnds:
    """Implements app.ports.erasure.LogEnds; connects at the first question, and again after a failure."""

    def __init__(
        self, brokers: Sequence[str], topics: Sequence[str], *, timeout_s: float = _TIMEOUT_S
    ) -> None:
        self._brokers = brokers
        self._topics = topics
        self._timeout_s = timeout_s
        self._clients: tuple[AIOKafkaAdminClient, AIOKafkaConsumer] | None = None
        self._turn = asyncio.Lock()

    async def ends(self) -> Mapping[str, Sequence[int]] | None:
        """By topic the end offset of each partition, open transactions included; None where Kafka does not answer.

        What a broker acknowledged to its producer before this was called lies before the ends. A topic that does not
        exist is left out.
        """
        try:
            async with asyncio.timeout(self._timeout_s), self._turn:
                return await self._ask()
        except (KafkaError, OSError, TimeoutError) as error:
            logger.warning("Kafka does not tell the ends of its topics (%s)", type(error).__name__)
            await self.close()
            return None

    async def _ask(self) -> Mapping[str, Sequence[int]]:
        admin, consumer = await self._connected()
        # Asked each time, so that new partitions are known.
        partitions = [
            TopicPartition(told["topic"], number)
            for told in await admin.describe_topics(list(self._topics))
            if not told["error_code"]
            for number in sorted(partition["partition"] for partition in told["partitions"])
        ]
        found = await consumer.end_offsets(partitions) if partitions else {}
        ends: dict[str, list[int]] = {}
        for partition in partitions:
            ends.setdefault(partition.topic, []).append(found[partition])
        return ends

    async def _connected(self) -> tuple[AIOKafkaAdminClient, AIOKafkaConsumer]:
        if self._clients is None:
            options = {
                **client_options(self._brokers),
                "request_timeout_ms": int(self._timeout_s * 1000),
            }
            self._clients = (
                AIOKafkaAdminClient(**options),
                AIOKafkaConsumer(**options, enable_auto_commit=False),
            )
            for client in self._clients:
                await client.start()
        return self._clients

    async def close(self) -> None:
        """Disconnect. Never raises."""
        clients, self._clients = self._clients, None
        if clients is not None:
            admin, consumer = clients
            for ended in (admin.close, consumer.stop):
                with contextlib.suppress(KafkaError, OSError, TimeoutError):
                    await asyncio.wait_for(ended(), self._timeout_s)
