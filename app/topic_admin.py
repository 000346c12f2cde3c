"""Creation of topics, idempotent: an existing topic is left as it is."""

import logging
from collections.abc import Sequence
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, for_code

from app.errors import FatalError, TransientError
from app.topics import TopicSpec

logger = logging.getLogger(__name__)

_OK: Final = 0
_EXISTS: Final = 36
_MAX_REPLICAS: Final = 3


async def create_topics(brokers: Sequence[str], specs: Sequence[TopicSpec]) -> list[str]:
    """Create the topics that are missing and return their names.

    Raises TransientError (no broker answers, or it could not do it now), or FatalError (it refuses).
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=list(brokers))
    try:
        await admin.start()
        cluster = await admin.describe_cluster()
        replicas = min(_MAX_REPLICAS, len(cluster["brokers"]))
        wanted = [
            NewTopic(spec.name, spec.partitions, replicas, topic_configs=dict(spec.config)) for spec in specs
        ]
        answer = await admin.create_topics(wanted, timeout_ms=30_000)
    except (KafkaError, OSError) as error:
        raise TransientError(
            f"Kafka at {', '.join(brokers)} does not answer ({type(error).__name__}): start it, or set "
            "PROFILE_KAFKA_BROKERS."
        ) from error
    finally:
        await admin.close()
    created = []
    # The client never raises for one topic: its error stands in the answer.
    for name, code, *rest in answer.topic_errors:
        if code == _OK:
            created.append(name)
        elif code != _EXISTS:
            kind = for_code(code)
            failure = TransientError if getattr(kind, "retriable", False) else FatalError
            raise failure(
                f"Kafka did not create the topic {name}: {kind.__name__} {(rest or [''])[0] or ''}".strip()
            )
    logger.info("created %d of %d topics", len(created), len(specs))
    return created
