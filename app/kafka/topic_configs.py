"""What topics are set to on the brokers: asked when it is wanted, and remembered for a bounded time."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from typing import Final

from app.core.clock import Clock
from app.core.errors import ProfileError
from app.kafka.client import (
    AIOKafkaAdminClient,
    ConfigResource,
    ConfigResourceType,
    KafkaError,
    client_options,
)

logger = logging.getLogger(__name__)

_TIMEOUT_S: Final = 1.0
_FRESH_S: Final = 60.0
_HELD_S: Final = 600.0  # while Kafka does not answer
_PAUSE_S: Final = 5.0  # after a failure

Configs = Mapping[str, Mapping[str, str]]


async def described(admin: AIOKafkaAdminClient, topics: Sequence[str]) -> dict[str, dict[str, str]]:
    """By topic all of its settings, the brokers' defaults included; without topics that do not exist.

    Raises KafkaError, OSError.
    """
    there = [told["topic"] for told in await admin.describe_topics(list(topics)) if not told["error_code"]]
    if not there:
        return {}
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in there]
    return {
        resource[3]: {entry[0]: entry[1] for entry in resource[4]}
        for answer in await admin.describe_configs(resources)
        for resource in answer.resources
        if not resource[0]
    }


class KafkaTopicConfigs:
    """Implements app.ports.erasure.TopicConfigs.

    What is older than a minute is asked again. Where no broker answers within a second, what was known ten minutes ago
    holds, and nobody asks for the next five seconds. Callers at the same time share one question.
    """

    def __init__(
        self, brokers: Sequence[str], topics: Sequence[str], clock: Clock, *, timeout_s: float = _TIMEOUT_S
    ) -> None:
        self._brokers = brokers
        self._topics = topics
        self._clock = clock
        self._timeout_s = timeout_s
        self._known: Configs | None = None
        self._known_at = 0.0
        self._not_before = 0.0
        self._turn = asyncio.Lock()

    async def configs(self) -> Configs | None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._timeout_s), self._turn:
                if self._age_s() >= _FRESH_S and self._clock.monotonic() >= self._not_before:
                    await self._ask()
        return self._known if self._age_s() < _HELD_S else None

    def _age_s(self) -> float:
        return float("inf") if self._known is None else self._clock.monotonic() - self._known_at

    async def _ask(self) -> None:
        asked_at = self._clock.monotonic()
        self._not_before = asked_at + _PAUSE_S  # unless it succeeds
        try:
            admin = AIOKafkaAdminClient(
                **client_options(self._brokers), request_timeout_ms=int(self._timeout_s * 1000)
            )
            try:
                await admin.start()
                self._known, self._known_at = await described(admin, self._topics), asked_at
            finally:
                await admin.close()
        except (ProfileError, KafkaError, OSError) as error:
            logger.warning("Kafka does not tell what its topics are set to (%s)", type(error).__name__)
