"""Creates topics, explicitly and idempotently: a topic that Kafka makes by itself has one partition."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

from app.errors import FatalError, TransientError
from app.topics import TopicSpec

logger = logging.getLogger(__name__)

_EXISTS: Final = 36
_TIMEOUT_MS: Final = 20_000
_LEADERS_WITHIN_S: Final = 15.0
_POLL_S: Final = 0.1


async def create_topics(
    brokers: Sequence[str], specs: Sequence[TopicSpec], *, replication_factor: int = 1
) -> list[str]:
    """Create what is missing and return its names; an existing topic is left as it is.

    Returns when every topic has a leader for each partition. Raises TransientError (no broker answers) or
    FatalError (Kafka refuses a topic).
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=list(brokers), request_timeout_ms=_TIMEOUT_MS)
    try:
        await admin.start()
    except (KafkaError, OSError) as error:
        raise TransientError(f"Kafka is not reachable at {', '.join(brokers)}: {error}") from error
    try:
        reply = await admin.create_topics(
            [
                NewTopic(
                    name=spec.name,
                    num_partitions=spec.partitions,
                    replication_factor=replication_factor,
                    topic_configs=spec.config,
                )
                for spec in specs
            ],
            timeout_ms=_TIMEOUT_MS,
        )
        created = []
        # The client never raises for a topic; the reply tells.
        for name, code, *message in reply.topic_errors:
            if code == 0:
                created.append(name)
            elif code != _EXISTS:
                raise FatalError(
                    f"Kafka refuses the topic {name}: error {code} {message[0] if message else ''}"
                )
        await _wait_for_leaders(admin, [spec.name for spec in specs])
    except KafkaError as error:
        raise TransientError(f"Kafka did not create the topics: {error}") from error
    finally:
        await admin.close()
    return created


async def _wait_for_leaders(admin: AIOKafkaAdminClient, names: Sequence[str]) -> None:
    deadline = asyncio.get_running_loop().time() + _LEADERS_WITHIN_S
    while True:
        described = await admin.describe_topics(list(names))
        waiting = [
            topic["topic"]
            for topic in described
            if topic["error_code"] or any(p["leader"] < 0 for p in topic["partitions"])
        ]
        if not waiting:
            return
        if asyncio.get_running_loop().time() > deadline:
            raise TransientError(f"Topics without a leader: {', '.join(sorted(waiting))}.")
        await asyncio.sleep(_POLL_S)
