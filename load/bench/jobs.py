"""`bench-jobs`: how long a source record takes through Flink to its normalised record, at a low rate.

The jobs run under a prefix of their own beside those of the stack, and are cancelled and deleted afterwards. Two ways
are measured at the same time: `crm`, which passes records on, and `payments`, which sums. One consumer reads what is
committed, as the service does, another what is merely written: the difference is the price of transactions.
"""

import argparse
import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Final

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from app.config.topics import TopicNames
from app.kafka.admin import create_topics
from infra.flink import jobs
from infra.settings import InfraSettings
from load.bench import jobs_speed
from load.bench.events_pipeline import paced
from load.errors import LoadError
from load.generate.options import positive
from load.measure.latency import Arrival, delays, percentile
from load.measure.readers import delete_topics

_POLL_MS: Final = 10
_PARTITIONS: Final = 2
_STEADY: Final = 10_000_000  # numbers from here on are those of the steady rate
JOBS: Final = ("crm", "payments")
READERS: Final = ("read_committed", "read_uncommitted")
Found = dict[tuple[str, str], list[Arrival]]  # by job and reader


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--rate",
        type=_rate,
        default=20,
        help="records/s of each job (default %(default)s); max measures CPU in place of time",
    )
    parser.add_argument(
        "--records",
        type=positive,
        default=100_000,
        help="of each source, with --rate max (default %(default)s)",
    )
    parser.add_argument("--rounds", type=positive, default=1, help="with --rate max (default %(default)s)")
    parser.add_argument(
        "--only", action="append", choices=JOBS, default=[], help="with --rate max; default: both"
    )
    parser.add_argument("--seconds", type=positive, default=60, help="of load (default %(default)s)")
    parser.add_argument("--timeout", type=positive, default=60, help="seconds for the last (default 60)")


def _rate(text: str) -> int | None:
    return None if text == "max" else positive(text)


def run(args: argparse.Namespace) -> int:
    """Measure and print a Markdown table."""
    if args.rate is None:
        print(jobs_speed.measure(args.records, rounds=args.rounds, only=args.only or JOBS), flush=True)
        return 0
    stack = InfraSettings()
    prefix = f"bench-{int(time.time())}."
    topics = TopicNames(prefix=prefix)
    specs = topics.specs(partitions=_PARTITIONS, source_partitions=_PARTITIONS)
    asyncio.run(create_topics([stack.kafka_broker], specs))
    try:
        jobs.submit(stack, topic_prefix=prefix)
        found = asyncio.run(_measure(stack.kafka_broker, topics, args))
    finally:
        jobs.cancel(stack, topic_prefix=prefix)
        asyncio.run(delete_topics([stack.kafka_broker], {spec.name for spec in specs}))
    print(table(args, found), flush=True)
    return 0


def table(args: argparse.Namespace, found: Found) -> str:
    """What was measured, in Markdown."""
    lines = [
        f"\n{args.rate:,}/s of each job for {args.seconds} s\n",
        "| job | reader | records | p50 ms | p99 ms | most ms |",
        "|---|---|---|---|---|---|",
    ]
    for (job, reader), arrivals in found.items():
        waits = [1000 * each for each in delays(arrivals)]
        cells = " | ".join(
            f"{each:,.0f}" for each in (percentile(waits, 0.5), percentile(waits, 0.99), max(waits))
        )
        lines.append(f"| {job} | {reader} | {len(arrivals):,} | {cells} |")
    return "\n".join(lines)


async def _measure(broker: str, topics: TopicNames, args: argparse.Namespace) -> Found:
    sent_s: dict[tuple[str, str], float] = {}
    async with AsyncExitStack() as stack:
        producer = AIOKafkaProducer(bootstrap_servers=broker, linger_ms=1)
        await producer.start()
        stack.push_async_callback(producer.stop)
        consumers = {
            (job, reader): await stack.enter_async_context(_consumer(broker, topic, reader))
            for job, topic in zip(JOBS, (topics.entity_properties, topics.temporal_data), strict=True)
            for reader in READERS
        }

        async def send(number: int) -> None:
            for job, topic in zip(JOBS, (topics.sources[2], topics.sources[0]), strict=True):
                reference = f"{topics.prefix}{number}"
                sent_s[job, reference] = time.time()
                await producer.send(topic, _BODIES[job](reference), key=reference.encode())

        await paced(2 * args.rate, 1, send)  # the first of everything: classes, connections, transactions
        readings = [
            asyncio.create_task(_arrivals(consumer, job, sent_s, args))
            for (job, _), consumer in consumers.items()
        ]
        await asyncio.sleep(5)
        await paced(args.rate, args.seconds, lambda number: send(_STEADY + number))
        return dict(zip(consumers, await asyncio.gather(*readings), strict=True))


@asynccontextmanager
async def _consumer(broker: str, topic: str, isolation: str) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=broker,
        isolation_level=isolation,
        fetch_max_wait_ms=_POLL_MS,
        enable_auto_commit=False,
    )
    await consumer.start()
    partitions = [TopicPartition(topic, number) for number in range(_PARTITIONS)]
    consumer.assign(partitions)
    await consumer.seek_to_beginning(*partitions)
    try:
        yield consumer
    finally:
        await consumer.stop()


async def _arrivals(
    consumer: AIOKafkaConsumer, job: str, sent_s: dict[tuple[str, str], float], args: argparse.Namespace
) -> list[Arrival]:
    """The first record about each entity that was sent at the steady rate. Raises LoadError when one is missing."""
    found: dict[str, Arrival] = {}
    wanted, end = args.rate * args.seconds, time.monotonic() + args.seconds + args.timeout
    while len(found) < wanted:
        fetched = await consumer.getmany(timeout_ms=_POLL_MS)
        at_s = time.time()
        for record in (each for records in fetched.values() for each in records):
            reference = record.key.decode().removeprefix("user:")
            if int(reference.rpartition(".")[2]) >= _STEADY and reference not in found:
                found[reference] = Arrival(begun_s=sent_s[job, reference], at_s=at_s)
        if time.monotonic() > end:
            raise LoadError(
                f"{job}: {len(found):,} of {wanted:,} records came in {args.timeout} s; see --timeout."
            )
    return list(found.values())


def _crm(reference: str) -> bytes:
    customer = {"ExternalRef": reference, "Status": "ACTIVE"}
    return orjson.dumps({"Id": reference, "Timestamp": _now(), "Customer": customer})


def _payment(reference: str) -> bytes:
    body = {"event_id": reference, "customer_id": reference, "amount_cents": 1, "quantity": 1}
    return orjson.dumps(body | {"occurred_at": _now()})


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


_BODIES: Final = {"crm": _crm, "payments": _payment}
