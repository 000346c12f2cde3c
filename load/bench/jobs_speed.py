"""`bench-jobs --rate max`: CPU of Flink's task manager for each record, beside that of a bare consumer and producer.

Each source is measured by itself: a warm-up, then turns of as many records. A payment gives three sums.
The bare loop (`BareLoop.java`) reads the same topic, parses each record and writes as many records of the same size in
transactions of a second: what no job can do without. Both are CPU of one process, in turns in one run. What the task
manager takes when idle is taken off, and both are without the compilers of the JVM.
"""

import asyncio
import subprocess
import time
from collections.abc import Awaitable, Callable, Sequence
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
from load.measure.cpu import threads_s
from load.measure.readers import delete_topics

_PARTITIONS: Final = 2
_POLL_S: Final = 0.5
_IDLE_S: Final = 10
_SETTLED_S: Final = 3
_THREADS: Final = 10
_COMPILER: Final = "CompilerThre"  # of a JVM that is warm they do nothing
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spent:
    """CPU seconds of the task manager's threads, by their names, and clock seconds, while it took in one batch."""

    threads_s: dict[str, float]
    clock_s: float

    def us(self, records: int, idle: float) -> float:
        """Microseconds for each record, without what it takes when idle."""
        return 1e6 * (sum(self.threads_s.values()) - idle * self.clock_s) / records


def measure(records: int, *, rounds: int, only: Sequence[str]) -> str:
    """Run everything under a prefix of its own; returns Markdown tables."""
    stack = InfraSettings()
    topics = TopicNames(prefix=f"bench-{int(time.time())}.")
    specs = topics.specs(partitions=_PARTITIONS, source_partitions=_PARTITIONS)
    asyncio.run(create_topics([stack.kafka_broker], specs))
    lines, threads = [], []
    try:
        jobs.submit(stack, topic_prefix=topics.prefix)
        for name, source in sources(topics).items():
            if name not in only:
                continue
            # With empty state of this job: a checkpoint of the heap has all of it, which is a price of what is taken
            # in. What the other job has by now belongs to what is taken off.
            idle = _idle(stack)
            asyncio.run(_flink(stack, source, range(records)))
            for turn in range(1, rounds + 1):
                spent = asyncio.run(_flink(stack, source, range(turn * records, (turn + 1) * records)))
                bare_us = _bare(stack, topics, source, records, turn)
                us, rate = spent.us(records, idle), records / (spent.clock_s - _SETTLED_S)
                size = _checkpoint_mb(stack, topics, source)
                lines.append(
                    f"| {name} | {turn} | {source.outputs} | {us:,.0f} | {bare_us:,.0f} | {us / bare_us:.1f} "
                    f"| {rate:,.0f} | {size:,.1f} |"
                )
            threads.append(
                f"{name}: {_by_thread(spent, records)}; idle before it, the two jobs took {100 * idle:.1f} % of a core"
            )
    finally:
        jobs.cancel(stack, topic_prefix=topics.prefix)
        asyncio.run(delete_topics([stack.kafka_broker], {spec.name for spec in specs}))
    head = (
        (
            f"\n{records:,} records of each source a turn, after as many to warm up; CPU of one process, without the "
            "compilers of the JVM\n"
        ),
        "| source | turn | records written of each | Flink µs | bare loop µs | times | records/s | checkpoint MB |",
        "|---|---|---|---|---|---|---|---|",
    )
    return "\n".join([*head, *lines, "\nµs a record by thread, in the last turn:", *threads])


def _by_thread(spent: _Spent, records: int) -> str:
    most = sorted(spent.threads_s.items(), key=lambda each: -each[1])[:_THREADS]
    return ", ".join(f"`{label}` {1e6 * seconds / records:.0f}" for label, seconds in most)


def _checkpoint_mb(stack: InfraSettings, topics: TopicNames, source: Source) -> float:
    """The whole state in the newest checkpoint of the job that reads a source."""
    job = next(name for name in jobs.JOBS if source.group.endswith(name))
    (job_id,) = jobs.running_ids(stack)[jobs.job_name(topics.prefix, job)]
    newest = jobs.call(stack, "GET", f"/jobs/{job_id}/checkpoints")["latest"]["completed"]
    return float(newest["state_size"]) / 1e6


def _threads_s(stack: InfraSettings) -> dict[str, float]:
    (pid,) = (each.pid() for each in FlinkService(stack).processes() if each.name == "taskmanager")
    if pid is None:
        raise LoadError("Flink does not run on this machine: `make up` starts it.")
    return {label: used for label, used in threads_s(pid).items() if _COMPILER not in label}


def _idle(stack: InfraSettings) -> float:
    """CPU seconds for each second while nothing comes."""
    time.sleep(_IDLE_S)
    begun, at = _threads_s(stack), time.monotonic()
    time.sleep(_IDLE_S)
    return sum(_since(begun, stack).values()) / (time.monotonic() - at)


async def _flink(stack: InfraSettings, source: Source, numbers: range) -> _Spent:
    begun, at = _threads_s(stack), time.monotonic()
    await _send(stack, source, numbers)
    return _Spent(threads_s=_since(begun, stack), clock_s=time.monotonic() - at)


def _since(begun: dict[str, float], stack: InfraSettings) -> dict[str, float]:
    # A thread that ended meanwhile took less than nothing.
    return {label: max(0.0, used - begun.get(label, 0.0)) for label, used in _threads_s(stack).items()}


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


def _bare(stack: InfraSettings, topics: TopicNames, source: Source, records: int, turn: int) -> float:
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
        f"{source.topic}-bare-{turn}",
    ]
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=1_800, check=True)
    return float(done.stdout.split()[0])
