"""Readers of a topic as processes of their own: how fast each commits, and the CPU that it takes."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError

from app.config.settings import Role, Settings
from app.kafka.admin import create_topics
from app.kafka.client import client_options
from load.errors import LoadError
from load.generate.sending import Message, send
from load.measure.bare_loop import topic_of
from load.measure.commits import Commit, Speed, speed
from load.measure.cpu import process_s
from load.measure.processes import started

_POLL_S: Final = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """A command that reads the topic of its role, and the settings that make it what it is."""

    label: str
    command: list[str]
    environment: Mapping[str, str] = field(default_factory=dict)


def readers(role: Role) -> list[Reader]:
    """The agent, without caches and without provenance (which tell their shares), the bare and the naive loop."""
    faust = [str(Path(sys.executable).with_name("faust")), "-A", "app", "worker", "-l", "warn"]
    commits = {"PROFILE_COMMIT_INTERVAL_S": "0.1"}  # as the loops commit each fetch
    return [
        Reader(label="agent", command=faust, environment=commits),
        Reader(label="bare", command=[sys.executable, "-m", "load.measure.bare_loop", role.value]),
        Reader(label="uncached", command=faust, environment=commits | {"PROFILE_CACHE_ENABLED": "false"}),
        Reader(label="unsourced", command=faust, environment=commits | {"PROFILE_PROVENANCE": "false"}),
        Reader(label="naive", command=[sys.executable, "-m", "load.measure.naive_loop", role.value]),
    ]


async def measure(
    reader: Reader, role: Role, settings: Settings, told: list[Message], *, timeout_s: float
) -> Speed:
    """Send the records to topics of their own, then time the reader. The topics are deleted. Raises LoadError."""
    topic = topic_of(role, settings)
    used = {topic, settings.topics.dead_letters(topic)}
    await create_topics(settings.kafka, [spec for spec in settings.topic_specs if spec.name in used])
    try:
        await send(settings.kafka, topic, told, total=len(told))
        with reader_process(reader, settings) as process:
            return speed(await _watch(process, settings, topic, len(told), timeout_s=timeout_s))
    finally:
        await delete_topics(settings.kafka, used)


async def delete_topics(brokers: Sequence[str], topics: set[str]) -> None:
    """Delete the topics and what is in them."""
    admin = AIOKafkaAdminClient(**client_options(brokers))
    await admin.start()
    try:
        await admin.delete_topics(sorted(topics))
    finally:
        await admin.close()


async def committed(admin: AIOKafkaAdminClient, settings: Settings, topic: str) -> int:
    """How many records of a topic the group of these settings has committed."""
    partitions = [TopicPartition(topic, number) for number in range(settings.topic_partitions)]
    try:
        offsets = await admin.list_consumer_group_offsets(settings.group_id, partitions=partitions)
    except GroupCoordinatorNotAvailableError:  # a new broker has no topic of offsets yet
        return 0
    return sum(max(0, found.offset) for found in offsets.values())


async def _watch(
    process: "subprocess.Popen[bytes]", settings: Settings, topic: str, expected: int, *, timeout_s: float
) -> list[Commit]:
    admin = AIOKafkaAdminClient(**client_options(settings.kafka))
    await admin.start()
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
            total = await committed(admin, settings, topic)
            if not commits or total != commits[-1].records:
                commits.append(Commit(at_s=time.monotonic(), records=total, cpu_s=process_s(process.pid)))
            await asyncio.sleep(_POLL_S)
    finally:
        await admin.close()
    return commits


@contextmanager
def reader_process(
    reader: Reader, settings: Settings, *, core: int | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """The reader, running, with the topics, the group and the role of these settings; its log goes to stderr."""
    environment = os.environ | {
        "PROFILE_TOPIC_PREFIX": settings.topic_prefix,
        "PROFILE_APP_ID": settings.app_id,
        "PROFILE_ROLES": ",".join(settings.roles),
        # Of whom it writes for: another prefix is another cache.
        "PROFILE_CACHE_PREFIX": settings.cache_prefix,
        **reader.environment,
    }
    with started(reader.command, environment=environment, core=core, stdout=subprocess.DEVNULL) as process:
        yield process
