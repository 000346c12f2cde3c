"""What the measurements beside ingestion share: records that wait, a worker with all roles, and trees that it knows."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from aiokafka import AIOKafkaProducer

from app.config.settings import Role, Settings
from app.kafka.client import client_options
from load.bench.ingest_workloads import records
from load.generate.sending import Message
from load.measure.fetching import fetch

INGESTING: Final = (Role.ENTITIES_EDGES, Role.ENTITY_PROPERTIES, Role.TEMPORAL_DATA)
_READ: Final = 50  # entities, each with some relationships and points
_HELD_MS: Final = 600_000


def new_records(settings: Settings, count: int) -> Iterator[tuple[str, list[Message]]]:
    """By topic, so many of each, about entities of this run; those of one topic are in memory at a time."""
    for role, topic in zip(INGESTING, settings.topics.normalised, strict=True):
        yield topic, records(role, "new", count, settings.app_id)


async def hold_back(settings: Settings, told: Iterable[tuple[str, Sequence[Message]]]) -> AIOKafkaProducer:
    """Send the records of these topics in a transaction that is left open; nobody reads them until it ends."""
    producer = AIOKafkaProducer(
        **client_options(settings.kafka),
        transactional_id=settings.app_id,
        transaction_timeout_ms=_HELD_MS,
        linger_ms=20,
        compression_type="lz4",
    )
    await producer.start()
    await producer.begin_transaction()
    for topic, messages in told:
        for message in messages:
            await producer.send(topic, message.value, key=message.key, timestamp_ms=message.timestamp_ms)
    await producer.flush()
    return producer


def names(settings: Settings) -> dict[str, str]:
    """For the environment of a worker: the names of a run."""
    return {
        "PROFILE_APP_ID": settings.app_id,
        "PROFILE_TOPIC_PREFIX": settings.topic_prefix,
        "PROFILE_CACHE_PREFIX": settings.app_id,
        "PROFILE_CONNECTOR_NAME": settings.connector_name,
        "PROFILE_CDC_SLOT": settings.cdc_slot,
    }


def environment(settings: Settings, processes: str) -> dict[str, str]:
    """For that of one with all roles, in so many processes."""
    return names(settings) | {
        "PROFILE_ROLES": "all",
        "PROFILE_PROCESSES": processes,
        "PROFILE_COMMIT_INTERVAL_S": "0.2",  # so that offsets tell the rate of a few seconds
    }


def warm(url: str, name: str) -> list[str]:
    """Write what is read, and read it until memory has it; returns the paths."""
    users = [f"{name}-{number}" for number in range(_READ)]
    entities = [
        {"type": "user", "reference": user, "properties": {"email": f"{user}@example.com", "name": user}}
        for user in users
    ]
    edges = [
        {
            "source_reference": user,
            "source_type": "user",
            "target_reference": f"{name}-{kind}-{number % 7}",
            "target_type": kind,
            "relationship_type": f"has_{kind}",
        }
        for number, user in enumerate(users)
        for kind in ("company", "device", "segment")
    ]
    points = [
        {
            "entity_type": "user",
            "entity_reference": user,
            "key": "payments",
            "granularity": "month",
            "reference_date": f"2025-{month:02}-28T00:00:00Z",
            "value": {"amount_cents": 100 * month, "quantity": month},
        }
        for user in users
        for month in range(1, 13)
    ]
    fetch(f"{url}/v1/graph/sync", json.dumps({"entities": entities, "relationships": edges}).encode())
    fetch(f"{url}/v1/temporal/ingest", json.dumps({"data_points": points}).encode())
    paths = [f"/v1/graph/by-reference/user/{user}" for user in users]
    for _ in range(3):
        for path in paths:
            fetch(url + path)
    return paths
