"""Creation of topics, idempotent: an existing topic is left as it is."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, for_code

from app.config.topics import TopicSpec
from app.core.errors import FatalError, TransientError
from app.kafka.client import client_options, unreachable

logger = logging.getLogger(__name__)

_OK: Final = 0
_EXISTS: Final = 36
_MAX_REPLICAS: Final = 3
_LEADERS_TIMEOUT_S: Final = 30.0
_POLL_S: Final = 0.1


async def create_topics(brokers: Sequence[str], specs: Sequence[TopicSpec]) -> list[str]:
    """Create the topics that are missing, wait until all have leaders, and return the names of the new ones.

    Raises TransientError (no broker answers, or it could not do it now), or FatalError (it refuses).
    """
    admin = AIOKafkaAdminClient(**client_options(brokers))
    try:
        await admin.start()
        cluster = await admin.describe_cluster()
        replicas = min(_MAX_REPLICAS, len(cluster["brokers"]))
        wanted = [
            NewTopic(spec.name, spec.partitions, replicas, topic_configs=dict(spec.config)) for spec in specs
        ]
        answer = await admin.create_topics(wanted, timeout_ms=30_000)
        created = _created(answer.topic_errors)
        await _wait_for_leaders(admin, [spec.name for spec in specs])
    except (KafkaError, OSError) as error:
        raise unreachable(brokers, error) from error
    finally:
        await admin.close()
    logger.info("created %d of %d topics", len(created), len(specs))
    return created


def _created(topic_errors: Sequence[Sequence[Any]]) -> list[str]:
    created = []
    # The client never raises for one topic: its error stands in the answer.
    for name, code, *rest in topic_errors:
        if code == _OK:
            created.append(name)
        elif code != _EXISTS:
            kind = for_code(code)
            failure = TransientError if getattr(kind, "retriable", False) else FatalError
            raise failure(
                f"Kafka did not create the topic {name} ({kind.__name__}). {(rest or [''])[0] or ''}".strip()
                + " Create it by hand, or mend the broker's settings and rights, and start again."
            )
    return created


async def _wait_for_leaders(admin: AIOKafkaAdminClient, names: list[str]) -> None:
    deadline = asyncio.get_running_loop().time() + _LEADERS_TIMEOUT_S
    while True:
        topics = await admin.describe_topics(names)
        ready = {
            topic["topic"]
            for topic in topics
            if topic["error_code"] == _OK
            and topic["partitions"]
            and all(p["leader"] >= 0 for p in topic["partitions"])
        }
        missing = sorted(set(names) - ready)
        if not missing:
            return
        if asyncio.get_running_loop().time() > deadline:
            raise TransientError(f"Kafka gave these topics no leader in time: {', '.join(missing)}.")
        await asyncio.sleep(_POLL_S)
