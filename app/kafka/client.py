"""The one door to aiokafka: what the rest of the project uses of it, options of clients, and what is said of failures.

The packages above import the client from here, so that another version or another client touches app.kafka alone.
"""

from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    InvalidTimestampError,
    KafkaError,
    MessageSizeTooLargeError,
    OffsetOutOfRangeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
)

from app.config.kafka import PLAINTEXT, Brokers
from app.core.errors import TransientError
from app.kafka.unpacking import bound_unpacking

__all__ = [
    "AIOKafkaAdminClient",
    "AIOKafkaConsumer",
    "CommitFailedError",
    "ConfigResource",
    "ConfigResourceType",
    "ConsumerRecord",
    "IllegalStateError",
    "InvalidTimestampError",
    "KafkaError",
    "MessageSizeTooLargeError",
    "OffsetOutOfRangeError",
    "RecordListTooLargeError",
    "TopicAuthorizationFailedError",
    "TopicPartition",
    "client_options",
    "unreachable",
]


bound_unpacking()  # before any consumer reads; a worker sets the limit of its settings


def unreachable(brokers: Sequence[str], error: BaseException) -> TransientError:
    """No broker answers, or it could not do now what was asked."""
    return TransientError(
        f"Kafka at {', '.join(brokers)} does not answer ({type(error).__name__}): start it, or set "
        "PROFILE_KAFKA_BROKERS."
    )


def client_options(brokers: Sequence[str]) -> dict[str, Any]:
    """Keywords of every client of aiokafka. Raises FatalError where a file can't be used."""
    security = brokers.security if isinstance(brokers, Brokers) else PLAINTEXT
    options: dict[str, Any] = {"bootstrap_servers": list(brokers)}
    if security.protocol == "PLAINTEXT":
        return options
    options |= {"security_protocol": security.protocol, "ssl_context": security.tls()}
    if security.uses_sasl:
        options |= {
            "sasl_mechanism": security.mechanism,
            "sasl_plain_username": security.username,
            "sasl_plain_password": security.password,
        }
    return options
