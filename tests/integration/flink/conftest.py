"""The jobs on a test's own topics: sends source records, reads what comes out."""

import asyncio
import json
import shutil
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord
from aiokafka.admin import AIOKafkaAdminClient

from app.config.topics import TopicNames
from app.kafka.admin import create_topics
from infra.flink import jobs
from infra.settings import InfraSettings

ACCOUNT_WAIT_S = 8
REVISION: Final = 2 * 10**12  # of the sums of payments
QUIET_S = 5.0  # at least two checkpoints: one begins two seconds after the one before (tests/run/servers.py)
Source = tuple[bytes | None, bytes | None, int]  # key, value, timestamp in milliseconds


@dataclass(slots=True)
class Output:
    """What read_committed readers have seen so far, by topic."""

    records: dict[str, "list[ConsumerRecord[bytes, bytes]]"] = field(
        default_factory=lambda: defaultdict(list)
    )

    @property
    def size(self) -> int:
        return sum(map(len, self.records.values()))

    def bodies(self, topic: str, reference: str) -> list[dict[str, Any]]:
        """The decoded bodies about one entity, in the order of arrival."""
        found = [json.loads(record.value or b"") for record in self.records[topic]]
        return [body for body in found if reference in (body.get("reference"), body.get("entity_reference"))]

    def letters(self, topic: str, key: bytes) -> "list[ConsumerRecord[bytes, bytes]]":
        """The dead letters of a source topic whose record bore this key."""
        return [r for r in self.records[f"{topic}.dlq"] if dict(r.headers).get("dlq.key") == key]


class Pipeline:
    """The jobs under one prefix. `jobs_broker_port`: where the jobs alone find Kafka, for one that is in between."""

    def __init__(
        self,
        stack: InfraSettings,
        prefix: str,
        *,
        account_wait_s: int = ACCOUNT_WAIT_S,
        source_partitions: int = 2,
        jobs_broker_port: int | None = None,
    ) -> None:
        self.stack = stack.model_copy(update={"flink_account_wait_s": account_wait_s})
        self.prefix = prefix
        self.topics = TopicNames(prefix=prefix)
        self.specs = self.topics.specs(partitions=2, source_partitions=source_partitions)
        self.others: list[str] = []  # topics that `read` reads, too
        self._jobs_broker_port = jobs_broker_port or stack.kafka_port

    def submit(self) -> list[str]:
        stack = self.stack.model_copy(update={"kafka_port": self._jobs_broker_port})
        return jobs.submit(stack, topic_prefix=self.prefix)

    async def send(self, topic: str, records: Sequence[Source], *, partition: int | None = None) -> None:
        """Send one after the other, so that the records of a partition keep this order."""
        producer = AIOKafkaProducer(
            bootstrap_servers=self.stack.kafka_broker, enable_idempotence=True, max_request_size=2**25
        )
        await producer.start()
        try:
            pending = [
                await producer.send(topic, value, key=key, partition=partition, timestamp_ms=timestamp)
                for key, value, timestamp in records
            ]
            await asyncio.gather(*pending)
        finally:
            await producer.stop()

    async def read(self, *, until: Any, timeout_s: float = 180) -> Output:
        """Everything written under this prefix so far, read from the start until `until(output)` holds."""
        names = [*self.topics.normalised, *(self.topics.dead_letters(name) for name in self.topics.sources)]
        names += self.others
        consumer = AIOKafkaConsumer(
            *names,
            bootstrap_servers=self.stack.kafka_broker,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            isolation_level="read_committed",
        )
        output = Output()
        await consumer.start()
        try:
            async with asyncio.timeout(timeout_s):
                while not until(output):
                    for fetched in (await consumer.getmany(timeout_ms=300)).values():
                        for record in fetched:
                            output.records[record.topic].append(record)
        except TimeoutError:
            seen = {topic: len(records) for topic, records in output.records.items()}
            pytest.fail(f"it did not come within {timeout_s} s; read so far: {seen}")
        finally:
            await consumer.stop()
        return output

    async def settled(self) -> Output:
        """Everything that is committed once nothing has been added for some checkpoints."""
        last, since = 0, time.monotonic()

        def quiet(output: Output) -> bool:
            nonlocal last, since
            if output.size != last:
                last, since = output.size, time.monotonic()
            return time.monotonic() - since > QUIET_S

        return await self.read(until=quiet, timeout_s=600)


RUNNING: Final[list[Pipeline]] = []  # a cluster that loses its job manager forgets the jobs of them all


@pytest.fixture(scope="session")
def pipeline(flink_stack: InfraSettings) -> Iterator[Pipeline]:
    """The jobs, running; submitted once for all tests of this directory, which keep to entities of their own."""
    with started(flink_stack) as pipeline:
        yield pipeline


@contextmanager
def started(
    stack: InfraSettings,
    *,
    account_wait_s: int = ACCOUNT_WAIT_S,
    source_partitions: int = 2,
    jobs_broker_port: int | None = None,
) -> Iterator[Pipeline]:
    """The jobs on topics of their own, running; cancelled and deleted at the end. Not from a coroutine."""
    pipeline = Pipeline(
        stack,
        f"t-{uuid.uuid4().hex[:12]}.",
        account_wait_s=account_wait_s,
        source_partitions=source_partitions,
        jobs_broker_port=jobs_broker_port,
    )
    asyncio.run(create_topics([stack.kafka_broker], pipeline.specs))
    pipeline.submit()
    RUNNING.append(pipeline)
    try:
        yield pipeline
    finally:
        RUNNING.remove(pipeline)
        jobs.cancel(stack, topic_prefix=pipeline.prefix)
        asyncio.run(_delete(stack, [spec.name for spec in pipeline.specs]))


@pytest.fixture
def sql(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the SQL that may be changed, with the payments job alone; `parents[1]` holds the rest."""
    shutil.copytree(jobs.SQL_DIR, tmp_path / "flink")
    monkeypatch.setattr(jobs, "SQL_DIR", tmp_path / "flink")
    monkeypatch.setattr(jobs, "JOBS", ("payments",))
    return tmp_path / "flink" / "jobs" / "payments.sql"


async def _delete(stack: InfraSettings, names: list[str]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=stack.kafka_broker)
    await admin.start()
    try:
        await admin.delete_topics(names)
    finally:
        await admin.close()
