"""`bench-jobs --rate max`: CPU of Flink's task manager for each record, beside that of a bare consumer and producer.

Each source is measured by itself: a warm-up, then as many records again. A record of `payment.events` gives three sums.
The bare loop (`BareLoop.java`) reads the same topic, parses each record and writes as many records of the same size in
transactions of a second: what no job can do without. Both are CPU of one process, in turns in one run.
"""

import asyncio
import subprocess
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from app.config.topics import TopicNames
from app.kafka.admin import create_topics
from infra.flink import jobs
from infra.install.artifacts import maven_jars
from infra.install.functions import functions_jar
from infra.services.flink import FlinkService
from infra.settings import InfraSettings
from load.errors import LoadError
from load.generate.sending import Message, send
from load.measure.cpu import process_s
from load.measure.readers import delete_topics

_PARTITIONS: Final = 2
_POLL_S: Final = 0.5
_IDLE_S: Final = 10
_SETTLED_S: Final = 3
_LOOP: Final = Path(__file__).with_name("BareLoop.java")
_AT_MS: Final = 1_735_689_600_000  # 2025-01-01


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What is sent: the group of the job that reads it, the records that each gives, and their size in bytes."""

    group: str
    topic: str
    body: Callable[[int], dict[str, object]]
    outputs: int
    output_bytes: int


def _payment(number: int) -> dict[str, object]:
    user, day = number % 5_000, number // 5_000 % 28 + 1
    return {
        "event_id": f"bench-{number}",
        "customer_id": f"user-bench-{user}",
        "amount_cents": 1397,
        "quantity": 1,
        "occurred_at": f"2025-01-{day:02d}T08:25:34Z",
    }


def _crm(number: int) -> dict[str, object]:
    customer: dict[str, object] = {
        "ExternalRef": f"user-bench-{number % 5_000}",
        "Name": {"First": "João", "Last": "Silva"},
        "EmailAddress": " Joao@Email.com",
        "Phone": "+55 (11) 93491-0701",
        "Status": "ACTIVE",
        "CreditScore": 638,
    }
    return {
        "Id": f"bench-{number}",
        "Timestamp": "2025-01-15T10:30:00.000-03:00",
        "Customer": customer,
        "Consent": {"Marketing": True},
    }


def sources(topics: TopicNames) -> dict[str, Source]:
    """By the name of the job."""
    payments, _, crm, *_ = topics.sources
    return {
        "payments": Source(
            group=f"{topics.prefix}flink-payments", topic=payments, body=_payment, outputs=3, output_bytes=330
        ),
        "crm": Source(
            group=f"{topics.prefix}flink-events", topic=crm, body=_crm, outputs=6, output_bytes=170
        ),
    }


def measure(records: int) -> str:
    """Run everything under a prefix of its own; returns a Markdown table."""
    stack = InfraSettings()
    topics = TopicNames(prefix=f"bench-{int(time.time())}.")
    specs = topics.specs(partitions=_PARTITIONS, source_partitions=_PARTITIONS)
    asyncio.run(create_topics([stack.kafka_broker], specs))
    lines = [
        f"\n{records:,} records of each source after as many to warm up; CPU of one process\n",
        "| source | records written of each | Flink µs | bare loop µs | times |",
        "|---|---|---|---|---|",
    ]
    try:
        jobs.submit(stack, topic_prefix=topics.prefix)
        idle = _idle(stack)
        for name, source in sources(topics).items():
            flink_us = asyncio.run(_flink(stack, source, records, idle))
            bare_us = _bare(stack, topics, source, records)
            lines.append(
                f"| {name} | {source.outputs} | {flink_us:,.0f} | {bare_us:,.0f} | {flink_us / bare_us:.1f} |"
            )
        lines.append(f"\nIdle, the two jobs take {100 * idle:.1f} % of a core of the task manager.")
    finally:
        jobs.cancel(stack, topic_prefix=topics.prefix)
        asyncio.run(delete_topics([stack.kafka_broker], {spec.name for spec in specs}))
    return "\n".join(lines)


def _cpu_s(stack: InfraSettings) -> float:
    (pid,) = (each.pid() for each in FlinkService(stack).processes() if each.name == "taskmanager")
    if pid is None:
        raise LoadError("Flink does not run on this machine: `make up` starts it.")
    return process_s(pid)


def _idle(stack: InfraSettings) -> float:
    """CPU seconds for each second while nothing comes."""
    time.sleep(_IDLE_S)
    begun, at = _cpu_s(stack), time.monotonic()
    time.sleep(_IDLE_S)
    return (_cpu_s(stack) - begun) / (time.monotonic() - at)


async def _flink(stack: InfraSettings, source: Source, records: int, idle: float) -> float:
    """Microseconds for each record after the warm-up, without what the job takes when it is idle."""
    await _send(stack, source, range(records))
    begun, at = _cpu_s(stack), time.monotonic()
    await _send(stack, source, range(records, 2 * records))
    return 1e6 * (_cpu_s(stack) - begun - idle * (time.monotonic() - at)) / records


async def _send(stack: InfraSettings, source: Source, numbers: range) -> None:
    """Send, and return when the job has read and written all of it."""
    messages = (
        Message(f"user-bench-{number % 5_000}".encode(), orjson.dumps(source.body(number)), _AT_MS)
        for number in numbers
    )
    await send([stack.kafka_broker], source.topic, messages, total=len(numbers))
    partitions = [TopicPartition(source.topic, number) for number in range(_PARTITIONS)]
    consumer = AIOKafkaConsumer(bootstrap_servers=stack.kafka_broker)
    admin = AIOKafkaAdminClient(bootstrap_servers=stack.kafka_broker)
    await consumer.start()
    await admin.start()
    try:
        ends = await consumer.end_offsets(partitions)

        async def read() -> bool:
            committed = await admin.list_consumer_group_offsets(source.group)
            return all(at in committed and committed[at].offset >= ends[at] for at in partitions)

        await _until(read)
    finally:
        await admin.close()
        await consumer.stop()
    await asyncio.sleep(_SETTLED_S)


async def _until(holds: Callable[[], Awaitable[bool]], timeout_s: float = 1_800) -> None:
    end = time.monotonic() + timeout_s
    while not await holds():
        if time.monotonic() > end:
            raise LoadError(f"Flink did not read all records within {timeout_s:.0f} s.")
        await asyncio.sleep(_POLL_S)


def _bare(stack: InfraSettings, topics: TopicNames, source: Source, records: int) -> float:
    jars = f"{maven_jars(stack, 'kafka')}/*:{functions_jar(stack)}"
    target = topics.entity_properties if source.outputs != 3 else topics.temporal_data
    counts = (records, records, source.outputs, source.output_bytes)
    argv = [
        "java",
        "-Xmx512m",
        "-cp",
        jars,
        str(_LOOP),
        stack.kafka_broker,
        source.topic,
        target,
        *map(str, counts),
    ]
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=1_800, check=True)
    return float(done.stdout.split()[0])
