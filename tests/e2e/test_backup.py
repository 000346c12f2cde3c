"""docs/operations.md, Backup and restore: a dump while writes go on, restored elsewhere, resumed from older offsets.

Somebody is erased after the dump, and stays erased.
"""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.structs import OffsetAndMetadata

from app.config.settings import Settings
from app.config.topics import TopicNames
from app.core.models import EntityKey
from infra.install.apt import find_postgres_bin
from infra.settings import InfraSettings
from storage.postgres.migrator import require_current
from storage.stores import Stores
from tests.e2e.ingestion import SMALL_WINDOWS, fill, ingesting, trickle
from tests.e2e.workers import ROOT, Worker, environment, fingerprint, offsets
from tests.stack import drop_database, to_database, with_primary

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

PER_TOPIC: Final = 1_500
ERASED: Final = EntityKey("user", "erased")


def tool(name: str, *arguments: str) -> None:
    found = find_postgres_bin()
    assert found is not None
    done = subprocess.run(
        [found / name, *arguments], capture_output=True, text=True, check=False, env=os.environ
    )
    assert done.returncode == 0, done.stderr


def on(settings: Settings, database: str) -> Settings:
    """The settings on another database of the same server."""
    return with_primary(settings, to_database(database)).model_copy(update={"postgres_replica_dsns": []})


async def set_offsets(settings: Settings, noted: dict[TopicPartition, int]) -> None:
    """What kafka-consumer-groups.sh --reset-offsets does, for a group that nobody is in."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka_brokers, group_id=settings.group_id, enable_auto_commit=False
    )
    await consumer.start()
    try:
        consumer.assign(list(noted))
        await consumer.commit(
            {partition: OffsetAndMetadata(offset, "") for partition, offset in noted.items()}
        )
    finally:
        await consumer.stop()


async def tell_of_the_erased(settings: Settings, topics: TopicNames) -> int:
    """A record of each kind about somebody who is erased after the dump; returns their number."""
    who = {"entity_reference": ERASED.reference, "entity_type": ERASED.type}
    told = {
        topics.entities_edges: {
            "id": "1",
            "reference": ERASED.reference,
            "type": ERASED.type,
            "edges": [
                {"entity_reference": "a-company", "entity_type": "company", "relation_type": "works_at"}
            ],
        },
        topics.entity_properties: {
            **who,
            "field_name": "name",
            "field_value": "Ana",
            "reference_date": "2025-01-15T10:30:00Z",
        },
        topics.temporal_data: {
            **who,
            "property_type": "visits",
            "property_value": 3,
            "property_reference_date": "2025-01-15T23:59:59Z",
            "property_granularity": "daily",
        },
    }
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka_brokers)
    await producer.start()
    try:
        for topic, record in told.items():
            await producer.send_and_wait(topic, json.dumps(record).encode(), key=b"user:erased")
    finally:
        await producer.stop()
    return len(told)


async def erasures(settings: Settings, *arguments: str) -> str:
    """`python -m app erasures …`; what it wrote to stdout."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app", "erasures", *arguments),
        cwd=ROOT,
        env=environment(settings),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, error = await process.communicate()
    assert process.returncode == 0, error.decode()
    return out.decode()


async def ends(settings: Settings, topics: TopicNames) -> int:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_brokers)
    await admin.start()
    try:
        described = await admin.describe_topics(list(topics.normalised))
    finally:
        await admin.close()
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka_brokers, group_id=None)
    await consumer.start()
    try:
        partitions = [TopicPartition(t["topic"], p["partition"]) for t in described for p in t["partitions"]]
        return sum((await consumer.end_offsets(partitions)).values())
    finally:
        await consumer.stop()


async def test_a_dump_and_older_offsets_lose_and_double_nothing(
    settings: Settings, topics: TopicNames, postgres_stack: InfraSettings, run_id: str, tmp_path: Path
) -> None:
    before = ingesting(settings)
    dump, erased = tmp_path / "profile.dump", tmp_path / "erasures.jsonl"
    with Worker(before, tmp_path / "before.log", **SMALL_WINDOWS) as worker:
        first = await fill(before, 200) + await tell_of_the_erased(before, topics)
        await worker.has_committed(topics.normalised, first, within_s=90)
        sending = asyncio.create_task(trickle(before, PER_TOPIC, within_s=15))
        await worker.has_committed(topics.normalised, first + 300, within_s=60)
        noted = await offsets(before, topics.normalised)
        await asyncio.to_thread(
            tool, "pg_dump", "--format=custom", f"--file={dump}", settings.postgres_dsn.get_secret_value()
        )
        assert not sending.done(), "writes were to go on during the dump"
        # What a replay would bring them back by: told before the erasure, and read again after the restore.
        total = first + await sending + await tell_of_the_erased(before, topics)
        await worker.has_committed(topics.normalised, total, within_s=60)
        assert await worker.terminate(within_s=60) == 0
    stores = await Stores.open(before)
    assert await stores.eraser.erase(ERASED) is not None
    await stores.close()
    erased.write_text(await erasures(before, "export"))
    expected = await fingerprint(settings.postgres_dsn.get_secret_value())
    assert 0 < sum(noted.values()) < total == await ends(before, topics)

    name = f"restored_{run_id}"
    restored = on(before, name)
    server = await asyncpg.connect(postgres_stack.postgres_dsn(database="postgres"))
    await server.execute(f"CREATE DATABASE {name}")
    await server.close()
    try:
        dsn = restored.postgres_dsn.get_secret_value()
        await asyncio.to_thread(tool, "pg_restore", "--exit-on-error", f"--dbname={dsn}", str(dump))
        await require_current(dsn)
        found = await fingerprint(dsn)
        assert found != expected, "the dump was to be older"
        await erasures(restored, "import", str(erased))

        await set_offsets(restored, noted)
        with Worker(restored, tmp_path / "after.log", **SMALL_WINDOWS) as worker:
            await worker.has_committed(topics.normalised, total, within_s=60)
            assert await worker.terminate(within_s=60) == 0
        assert await fingerprint(dsn) == expected
    finally:
        await drop_database(postgres_stack, name)
