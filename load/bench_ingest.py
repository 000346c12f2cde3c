"""`bench-ingest`: records per second of the agents beside a bare consumer loop, in one run.

Each reader is a process of its own with a topic prefix and a consumer group of its own, reads that many new
records, and writes to the database of the settings. The rate is taken between the first and the last offset
that the group committed, so that starting and joining do not count; both are measured alike. The data stays
in the database; the topics are deleted.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from statistics import median

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from app.settings import Role, Settings
from app.topic_admin import create_topics
from load import messages
from load.bare_loop import DECODERS, topic_of
from load.commits import Commit, rate
from load.errors import LoadError
from load.options import positive
from load.sending import Message, send
from load.world import World, month_start


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--records", type=positive, default=100_000, help="per topic (default %(default)s)")
    parser.add_argument("--rounds", type=positive, default=3, help="of both readers (default %(default)s)")
    parser.add_argument("--seed", type=int, help="of the data (default: the time, so that all is new)")
    parser.add_argument("--timeout", type=positive, default=180, help="seconds per reader (default 180)")
    parser.add_argument(
        "--role", choices=[role.value for role in DECODERS], action="append", help="(default: all three)"
    )


def run(args: argparse.Namespace) -> int:
    """Measure and print one line for each topic."""
    seed = int(time.time()) if args.seed is None else args.seed
    print(f"{'topic':20}{'agent':>12}{'bare loop':>12}{'ratio':>8}   records/s, medians; spread of the ratio")
    for role in [Role(name) for name in args.role or DECODERS]:
        rates: dict[str, list[float]] = {"agent": [], "bare": []}
        for turn in range(args.rounds):
            readers = _readers(role)
            # The second of a pair may find warmer caches, or a busier machine.
            for label, command in readers if turn % 2 == 0 else readers[::-1]:
                group = f"bench-{seed}-{turn}-{role}-{label}"
                settings = Settings(topic_prefix=f"{group}.", app_id=group, roles=[role])
                told = list(islice(_records(role, args.records, group), args.records))
                rates[label].append(
                    asyncio.run(_measure(role, settings, told, command, timeout_s=args.timeout))
                )
        ratios = [agent / bare for agent, bare in zip(rates["agent"], rates["bare"], strict=True)]
        medians = [median(rates["agent"]), median(rates["bare"]), median(ratios)]
        line = f"{role:20}{medians[0]:>12,.0f}{medians[1]:>12,.0f}{medians[2]:>8.2f}"
        print(f"{line}   {min(ratios):.2f} to {max(ratios):.2f}", flush=True)
    return 0


def _readers(role: Role) -> list[tuple[str, list[str]]]:
    faust = str(Path(sys.executable).with_name("faust"))
    return [
        ("agent", [faust, "-A", "app", "worker", "-l", "warn"]),
        ("bare", [sys.executable, "-m", "load.bare_loop", role.value]),
    ]


def _records(role: Role, count: int, name: str) -> Iterator[Message]:
    world = World(
        seed=zlib.crc32(name.encode()),
        users=max(10, count // 2),
        months=12,
        until=month_start(datetime.now(UTC)),
    )
    match role:
        case Role.ENTITIES_EDGES:
            return messages.entities_edges(world)
        case Role.ENTITY_PROPERTIES:
            return messages.entity_properties(world, conflict_rate=0.1)
        case _:
            return messages.temporal_data(world)


async def _measure(
    role: Role, settings: Settings, told: list[Message], command: list[str], *, timeout_s: float
) -> float:
    topic = topic_of(role, settings)
    used = {topic, settings.topics.dead_letters(topic)}
    specs = settings.topics.specs(partitions=settings.topic_partitions, source_partitions=1)
    await create_topics(settings.kafka_brokers, [spec for spec in specs if spec.name in used])
    try:
        await send(settings.kafka_brokers, topic, told, total=len(told))
        with _process(command, settings) as process:
            return rate(await _watch(process, settings, topic, len(told), timeout_s=timeout_s))
    finally:
        await _delete(settings.kafka_brokers, used)


async def _delete(brokers: list[str], topics: set[str]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
    await admin.start()
    try:
        await admin.delete_topics(sorted(topics))
    finally:
        await admin.close()


async def _watch(
    process: "subprocess.Popen[bytes]", settings: Settings, topic: str, expected: int, *, timeout_s: float
) -> list[Commit]:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_brokers)
    await admin.start()
    partitions = [TopicPartition(topic, number) for number in range(settings.topic_partitions)]
    commits: list[Commit] = []
    end = time.monotonic() + timeout_s
    try:
        while not commits or commits[-1].records < expected:
            if process.poll() is not None:
                raise LoadError(
                    f"The reader of {topic} ended with {process.returncode}; its log stands above."
                )
            if time.monotonic() > end:
                seen = commits[-1].records if commits else 0
                raise LoadError(
                    f"{topic}: {seen:,} of {expected:,} records in {timeout_s:.0f} s; see --timeout."
                )
            offsets = await admin.list_consumer_group_offsets(settings.group_id, partitions=partitions)
            total = sum(max(0, found.offset) for found in offsets.values())
            if not commits or total != commits[-1].records:
                commits.append(Commit(at_s=time.monotonic(), records=total))
            await asyncio.sleep(0.02)
    finally:
        await admin.close()
    return commits


@contextmanager
def _process(command: list[str], settings: Settings) -> Iterator["subprocess.Popen[bytes]"]:
    environment = os.environ | {
        "PROFILE_TOPIC_PREFIX": settings.topic_prefix,
        "PROFILE_APP_ID": settings.app_id,
        "PROFILE_ROLES": ",".join(settings.roles),
    }
    process = subprocess.Popen(command, env=environment, stdout=sys.stderr)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
