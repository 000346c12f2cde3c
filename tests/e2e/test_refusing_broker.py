"""A broker that lives and refuses writes: nothing is lost or dead-lettered for it, and it goes on by itself."""

import asyncio
import os
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from agents.entity_properties import EntityProperties
from app.config.settings import Settings
from app.core.clock import SystemClock
from app.core.errors import TransientError
from app.core.records import OutgoingEvent, Record
from app.core.retry import RetryPolicy
from app.dead_letters.sink import KafkaDeadLetters
from app.ingest.consumer_loop import ConsumerLoop
from app.ingest.processor import IngestProcessor
from app.ingest.window import WindowLimits
from app.kafka.admin import create_topics
from app.kafka.client import AIOKafkaAdminClient, client_options
from app.kafka.reading import read_to_end
from cdc.events.publisher import KafkaEventSink
from infra.install.artifacts import maven_jars
from infra.process import ServerProcess
from infra.service import run
from infra.settings import InfraSettings
from storage.stores import Stores
from tests.e2e.own_stack import OwnStack
from tests.e2e.test_full_servers import policy, told
from tests.rows import user
from tests.unit.app.fakes import FakeRecord

pytestmark = [pytest.mark.e2e, pytest.mark.chaos, pytest.mark.timeout(600)]

_BROKERS = 2
_CONFIG = """
process.roles=broker
node.id=2
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port}
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={data}
num.network.threads=2
num.io.threads=2
message.max.bytes=16777216
replica.fetch.max.bytes=16777216
"""


class SecondBroker:
    """One more broker of the own stack's cluster; topics that are made while it runs have a replica on each."""

    def __init__(self, first: InfraSettings, directory: Path) -> None:
        self._settings = first
        self._config = directory / "conf" / "server.properties"
        self._process = ServerProcess(
            name="second-broker", directory=self._config.parent, port=first.kafka_port + 700
        )

    def format(self) -> None:
        data = self._config.parent.parent / "logs"
        self._config.parent.mkdir(parents=True)
        self._config.write_text(
            _CONFIG.format(
                controller=self._settings.kafka_controller_port, port=self._process.port, data=data
            )
        )
        meta = (self._settings.data_root / f"stack-{self._settings.port_offset}").glob(
            "**/logs/meta.properties"
        )
        lines = next(iter(meta)).read_text().splitlines()
        cluster = next(line.partition("=")[2] for line in lines if line.startswith("cluster.id"))
        argv = ["kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "--no-initial-controllers"]
        run(
            [*self._java(64), *argv, "-c", str(self._config)],
            purpose="Formatting the second broker's storage",
        )

    def _java(self, heap_mb: int) -> list[str]:
        jars = maven_jars(self._settings, "kafka")
        return ["java", f"-Xmx{heap_mb}m", "-cp", f"{self._config.parent}:{jars}/*"]

    def start(self) -> None:
        """Return when it listens, which comes after its registration."""
        self._process.start([*self._java(256), "kafka.Kafka", str(self._config)])
        until = time.monotonic() + 120
        while True:
            try:
                socket.create_connection(("127.0.0.1", self._process.port), timeout=5).close()
            except OSError:
                assert time.monotonic() < until, "the second broker did not listen within two minutes"
                time.sleep(0.2)
            else:
                return

    def stop(self) -> None:
        replace(self._process, stop_signal=signal.SIGTERM).stop(60)


@pytest.fixture
def second(own_stack: OwnStack, tmp_path: Path) -> Iterator[SecondBroker]:
    own_stack.start("kafka")
    made = SecondBroker(own_stack.settings, tmp_path)
    made.format()
    made.start()
    try:
        yield made
    finally:
        made.stop()
        own_stack.reset("kafka")


@pytest.fixture
async def strict(second: SecondBroker, own_stack: OwnStack, settings: Settings) -> Settings:
    """Topics that take a write when both brokers have it."""
    there = settings.model_copy(update={"kafka_brokers": [own_stack.settings.kafka_broker]})
    specs = [
        replace(spec, config={**spec.config, "min.insync.replicas": "2"})
        for spec in there.topic_specs
        if spec.name
        in {
            there.topics.domain_events,
            there.topics.entity_properties,
            there.topics.dead_letters(there.topics.entity_properties),
        }
    ]
    await _both_are_there(there)
    await create_topics(there.kafka_brokers, specs)
    return there


async def _both_are_there(settings: Settings) -> None:
    admin = AIOKafkaAdminClient(**client_options(settings.kafka))
    await admin.start()
    try:
        async with asyncio.timeout(120):
            while len((await admin.describe_cluster())["brokers"]) < _BROKERS:  # noqa: ASYNC110
                await asyncio.sleep(0.2)
    finally:
        await admin.close()


@dataclass
class Fetch:
    value: list[Record]
    acked: asyncio.Event = field(default_factory=asyncio.Event)

    def ack(self) -> None:
        self.acked.set()


async def test_too_few_replicas_in_sync(
    second: SecondBroker, strict: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    topic = strict.topics.entity_properties
    dead = strict.topics.dead_letters(topic)
    stores = await Stores.open(strict)
    letters = KafkaDeadLetters(strict.kafka_brokers)
    events = KafkaEventSink(strict.kafka_brokers, strict.topics.domain_events)
    left: list[int] = []
    loop = ConsumerLoop(
        "entity-properties",
        IngestProcessor(EntityProperties(strict), stores.writer, letters, policy()),
        limits=WindowLimits(max_records=3, max_bytes=1_000_000, linger_s=3600),
        retries=RetryPolicy(attempts=100, longest_pause_s=0.5, within_s=400),
        flush_timeout_s=30,
        window_limit_s=400,
        clock=SystemClock(),
        terminate=left.append,  # type: ignore[arg-type]
    )
    bad = os.urandom(100)
    values = [told("a", "1"), bad, told("b", "2")]
    fetch = Fetch([FakeRecord(topic=topic, value=value, offset=n) for n, value in enumerate(values)])
    await asyncio.to_thread(second.stop)

    flushing = asyncio.create_task(loop.add(fetch))  # type: ignore[arg-type]
    async with asyncio.timeout(120):
        while "refuses writes" not in (await loop.check())[0].detail:
            assert not flushing.done()
            await asyncio.sleep(0.1)
    (state,) = await loop.check()
    assert (
        f"Kafka did not take 1 dead letters of {topic} (the broker refuses writes for now: {dead} (NotEnoughReplicas"
        in state.detail
    )
    assert any(f"refuses writes for now: {dead}" in record.getMessage() for record in caplog.records)
    for reference in ("a", "b"):
        assert await stores.reader.by_reference(user(reference), depth=1, since=None) is not None
    event = OutgoingEvent(
        key=b"user:a", value=b"{}", headers=[], timestamp_ms=1_736_937_000_123, partition_key=b"user:a"
    )
    with pytest.raises(
        TransientError, match=rf"refuses writes for now: {strict.topics.domain_events} \(NotEnough"
    ):
        await events.publish([event])

    await asyncio.to_thread(second.start)
    async with asyncio.timeout(180):
        await fetch.acked.wait()
        await flushing
    async with asyncio.timeout(60):
        while True:
            try:
                await events.publish([event])
            except TransientError:
                continue
            break
    assert left == []
    assert (await loop.check())[0].detail == "idle"
    found = [record async for batch in read_to_end(strict.kafka_brokers, dead) for record in batch]
    assert {record.value for record in found} == {bad}
    assert len({record.key for record in found}) == 1
    told_events = [
        record
        async for batch in read_to_end(strict.kafka_brokers, strict.topics.domain_events)
        for record in batch
    ]
    # What was appended and not acknowledged may stand there beside its repetition.
    assert {(record.key, record.value) for record in told_events} == {(b"user:a", b"{}")}
    await loop.drain()
    await events.close()
    await letters.close()
    await stores.close()
