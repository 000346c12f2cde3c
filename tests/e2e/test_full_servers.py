"""Servers that run full: nothing is lost or dead-lettered, readiness says which and why, and it goes on by itself."""

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest

from agents.entity_properties import EntityProperties
from app.config.settings import Settings
from app.core.errors import TransientError
from app.core.models import Batch
from app.dead_letters.policy import DeadLetterPolicy
from app.dead_letters.sink import KafkaDeadLetters
from app.ingest.processor import IngestProcessor
from app.kafka.admin import create_topics
from app.kafka.reading import read_to_end
from app.ports.health import DependencyState
from infra.settings import InfraSettings
from storage.stores import Stores
from tests.e2e.own_stack import OwnStack
from tests.rows import entity, prop, user
from tests.stack import TestStack, application_settings, own_database
from tests.unit.app.fakes import FakeDeadLetters, FakeRecord

pytestmark = [pytest.mark.e2e, pytest.mark.chaos, pytest.mark.timeout(600)]

DISK = "700m"


def policy() -> DeadLetterPolicy:
    return DeadLetterPolicy(max_ratio=0.5, min_records=1_000, max_run=1_000)


def told(reference: str, value: str) -> bytes:
    return json.dumps(
        {
            "entity_reference": reference,
            "entity_type": "user",
            "field_name": "f",
            "field_value": value,
            "reference_date": "2025-01-01T00:00:00Z",
        }
    ).encode()


async def states(stores: Stores) -> dict[str, DependencyState]:
    found: Sequence[DependencyState] = [each for probe in stores.probes for each in await probe.check()]
    return {state.name: state for state in found}


@pytest.fixture
def small_disk(test_stack: TestStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnStack]:
    """A PostgreSQL of its own on a file system of 700 MB in memory."""
    if os.environ.get("TEST_STACK") == "containers":
        pytest.skip("it starts native servers")
    root = Path("/var/tmp") / f"small-disk-{test_stack.settings.port_offset}"
    root.mkdir(exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=755", "tmpfs", str(root)],
        check=False,
        capture_output=True,
    )
    if mounted.returncode:
        pytest.skip("no file system may be mounted here")
    settings = InfraSettings(
        port_offset=test_stack.settings.port_offset + 1_500,
        data_root=root,
        postgres_max_connections=60,
        kafka_heap_mb=256,
    )
    own = OwnStack(settings)
    try:
        yield own
    finally:
        own.reset("postgres", "kafka")
        subprocess.run(["umount", "--lazy", str(root)], check=True)
        root.rmdir()


@pytest.fixture
async def on_small_disk(
    small_disk: OwnStack, test_stack: TestStack, run_id: str
) -> AsyncIterator[tuple[Stores, Path]]:
    """Stores there, and a file that takes the room; the replicas are stopped, so that they need none."""
    shared = test_stack.need("redis")
    await asyncio.to_thread(small_disk.start, "postgres")
    async with own_database(small_disk.settings, f"test_{run_id}") as database:
        settings = application_settings(
            small_disk.settings, database=database, topic_prefix="full.", cache_prefix=f"t-{run_id}"
        ).model_copy(update={"postgres_replica_dsns": [], "redis_nodes": shared.redis_nodes})
        stores = await Stores.open(settings)
        yield stores, small_disk.settings.data_root / "filler"
        await stores.close()


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(64 * 1024))
        except OSError:
            return


async def test_postgresql_without_disk_space(on_small_disk: tuple[Stores, Path]) -> None:
    stores, filler = on_small_disk
    letters = FakeDeadLetters()
    processor = IngestProcessor(
        EntityProperties(Settings(_env_file=None)), stores.writer, letters, policy(), max_rows=500
    )
    assert "postgres-primary-disk" not in await states(stores)
    fill(filler)
    records: list[FakeRecord] = []
    number = -50

    async def until_it_is_full() -> None:
        """PostgreSQL has a little room in the files that it has."""
        nonlocal records, number
        while number < 5_000:
            number += 50
            chance = os.urandom(2_000).hex()
            records = [FakeRecord(value=told(f"u{number + n}", chance), offset=number + n) for n in range(50)]
            await processor.process(records)

    with pytest.raises(TransientError, match="no disk space left") as failed:
        await until_it_is_full()
    disk = (await states(stores))["postgres-primary-disk"]
    assert (disk.ready, disk.required, disk.detail) == (False, False, str(failed.value))
    answer = await stores.reader.by_reference(user("u0"), depth=1, since=None) if number else None
    assert not number or answer is not None, "reads go on"
    assert letters.letters == []

    filler.unlink()
    await processor.process(records)  # the same window, as its agent tries again

    assert "postgres-primary-disk" not in await states(stores)
    assert await stores.reader.by_reference(user(f"u{number + 49}"), depth=1, since=None) is not None
    assert letters.letters == []


@pytest.fixture
async def full_redis(own_stack: OwnStack, settings: Settings) -> AsyncIterator[tuple[Settings, "Limit"]]:
    """Stores' settings with a Redis of their own, and its limit."""
    await asyncio.to_thread(own_stack.start, "redis")
    limit = Limit(own_stack.settings)
    yield settings.model_copy(update={"redis_nodes": own_stack.settings.redis_nodes}), limit
    limit.set("0", "volatile-lfu")


class Limit:
    """`maxmemory` of all nodes."""

    def __init__(self, servers: InfraSettings) -> None:
        self._ports = [node.rpartition(":")[2] for node in servers.redis_nodes]

    def set(self, most: str, eviction: str) -> None:
        for port in self._ports:
            for name, value in (("maxmemory-policy", eviction), ("maxmemory", most)):
                subprocess.run(
                    ["redis-cli", "-p", port, "CONFIG", "SET", name, value], check=True, capture_output=True
                )


@pytest.mark.ci
async def test_redis_out_of_memory(full_redis: tuple[Settings, Limit]) -> None:
    settings, limit = full_redis
    # One that has no memory of its own, and so reads what Redis has.
    writer, reader = await Stores.open(settings), await Stores.open(settings.model_copy(update={"roles": []}))

    async def read(reference: str = "a") -> bytes:
        answer = await reader.reader.by_reference(user(reference), depth=1, since=None)
        assert answer is not None
        return answer.body or b""

    await writer.writer.write(Batch(properties=[prop("a", "name", '"old"')], entities=[entity("b")]))
    for _ in range(3):
        assert b"old" in await read()
    assert (await states(writer))["redis"].ready
    limit.set("1", "noeviction")

    await writer.writer.write(Batch(properties=[prop("a", "name", '"new"', seconds=1)]))

    assert b"new" in await read()  # what Redis kept of before is gone
    assert not writer.invalidations.behind
    assert b'"b"' in await read("b")
    redis = (await states(writer))["redis"]
    assert (redis.ready, redis.required) == (False, False)
    assert redis.detail.startswith("out of memory, so nothing new is cached")

    limit.set("0", "volatile-lfu")
    await writer.writer.write(Batch(properties=[prop("a", "name", '"newer"', seconds=2)]))
    assert b"newer" in await read()
    assert (await states(writer))["redis"].ready
    await writer.close()
    await reader.close()


async def test_a_broker_without_disk_space(small_disk: OwnStack, settings: Settings) -> None:
    """Kafka stops where its disk is full. A letter waits until its supervisor can start it again."""
    await asyncio.to_thread(small_disk.start, "kafka")
    there = settings.model_copy(update={"kafka_brokers": [small_disk.settings.kafka_broker]})
    filler = small_disk.settings.data_root / "filler"
    stores = await Stores.open(settings)
    letters = KafkaDeadLetters(there.kafka_brokers)
    processor = IngestProcessor(EntityProperties(settings), stores.writer, letters, policy())
    topic = there.topics.entity_properties
    await create_topics(there.kafka_brokers, there.topic_specs)
    values = [told("a", "1"), os.urandom(200_000), told("b", "2")]
    records = [FakeRecord(topic=topic, value=value, offset=n) for n, value in enumerate(values)]
    fill(filler)
    with pytest.raises((TransientError, TimeoutError)):
        async with asyncio.timeout(15):  # as the attempts of its agent
            await processor.process(records)
    assert await stores.reader.by_reference(user("b"), depth=1, since=None) is not None
    filler.unlink()
    await asyncio.to_thread(small_disk.start, "kafka")
    await processor.process(records)
    dead = there.topics.dead_letters(topic)
    found = [record async for batch in read_to_end(there.kafka_brokers, dead) for record in batch]
    assert {record.value for record in found} == {values[1]}
    await letters.close()
    await stores.close()
