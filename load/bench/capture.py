"""`bench-capture`: the CPU of a worker with the role `cdc` for each change, its Kafka clients included.

Generated changes lie in a topic of the run's own, without Connect, in a transaction that ends when a worker has read
the entities that they name; it makes domain events of them and repeats their invalidations. CPU is that of the whole
process until both of its consumer groups have committed everything, so that start-up does not count. Several working
trees are measured in turns: only the ratio of two of them holds on a busy machine. The topics are deleted; nothing is
written to PostgreSQL.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncpg
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError

from app.config.settings import Role, Settings
from app.kafka.admin import create_topics
from app.kafka.client import client_options
from load.bench.beside_ingestion import hold_back, names
from load.bench.events_pipeline import settings_of
from load.errors import LoadError
from load.generate.changes import ChangeRecord, changes, entities_of, newest_xid
from load.generate.options import positive
from load.generate.sending import Message, send
from load.measure.cpu import process_s
from load.measure.processes import started
from load.measure.readers import delete_topics
from load.measure.spread import spread

_POLL_S: Final = 0.05
_OWN: Final = {"PROFILE_ROLES": Role.CDC.value, "PROFILE_COMMIT_INTERVAL_S": "0.2"}
_OF_THE_REPEATER: Final = "-cache-repeater"


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU of one change in microseconds, and changes a second."""

    cpu_us: float
    changes_per_s: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--changes", type=positive, default=100_000, help="of a turn (default %(default)s)")
    parser.add_argument("--rounds", type=positive, default=3, help="of all trees (default %(default)s)")
    parser.add_argument(
        "--timeout", type=positive, default=240, help="seconds of a turn (default %(default)s)"
    )
    parser.add_argument(
        "--root",
        action="append",
        type=Path,
        help="a working tree to measure (default: this one; may be repeated)",
    )


def run(args: argparse.Namespace) -> int:
    """Measure and print a Markdown table."""
    roots: list[Path] = args.root or [Path.cwd()]
    found: dict[Path, list[Cost]] = defaultdict(list)
    for turn in range(args.rounds):
        for root in roots if turn % 2 == 0 else roots[::-1]:
            name = f"capture-{int(time.time())}-{turn}-{roots.index(root)}"
            settings = settings_of(name).model_copy(update={"roles": [Role.CDC]})
            found[root].append(asyncio.run(_measure(settings, root, args.changes, args.timeout)))
    print(table(roots, found), flush=True)
    return 0


def table(roots: list[Path], found: Mapping[Path, list[Cost]]) -> str:
    """In Markdown; ratios are of turns beside each other, to the first tree."""
    lines = ["| tree | µs of CPU a change | changes/s | CPU to the first |", "|---|---|---|---|"]
    for number, root in enumerate(roots, start=1):
        costs, first = found[root], found[roots[0]]
        ratios = [mine.cpu_us / theirs.cpu_us for mine, theirs in zip(costs, first, strict=True)]
        cells = [
            spread([cost.cpu_us for cost in costs], "{:.1f}"),
            spread([cost.changes_per_s for cost in costs], "{:,.0f}"),
            spread(ratios, "{:.2f}"),
        ]
        lines.append(f"| {number} | {' | '.join(cells)} |")
    return "\n".join(lines)


async def _measure(settings: Settings, root: Path, count: int, timeout_s: float) -> Cost:
    async with AsyncExitStack() as stack:
        await create_topics(settings.kafka, settings.topic_specs)
        stack.push_async_callback(delete_topics, settings.kafka, {spec.name for spec in settings.topic_specs})
        await burn_xids(settings, newest_xid(count))
        known = entities_of(count)
        await send(settings.kafka, settings.topics.cdc, map(message_of, known), total=len(known))
        told = [message_of(change) for change in changes(count)]
        waiting = await hold_back(settings, [(settings.topics.cdc, told)])
        stack.push_async_callback(waiting.stop)
        admin = AIOKafkaAdminClient(**client_options(settings.kafka))
        await admin.start()
        stack.push_async_callback(admin.close)
        command = [sys.executable, "-m", "app", "worker", "-l", "warn"]
        process = stack.enter_context(
            started(
                command,
                environment=os.environ | names(settings) | _OWN,
                directory=root,
                stdout=subprocess.DEVNULL,
            )
        )
        groups = Groups(process, admin, settings)
        before = await groups.handled(len(known), timeout_s)
        await waiting.commit_transaction()
        after = await groups.handled(len(known) + count, timeout_s)
        return Cost((after.cpu_s - before.cpu_s) / count * 1e6, count / (after.at_s - before.at_s))


def message_of(change: ChangeRecord) -> Message:
    """As it is sent."""
    return Message(key=change.key, value=change.value, timestamp_ms=change.timestamp)


async def burn_xids(settings: Settings, newest: int) -> None:
    """The worker waits until the transactions of the changes are over, so that they must have been."""
    sql = await asyncpg.connect(settings.postgres_dsn.get_secret_value())
    try:
        while int(await sql.fetchval("SELECT pg_current_xact_id()::text")) <= newest:
            pass
    finally:
        await sql.close()


@dataclass(frozen=True, slots=True)
class Groups:
    """Both consumer groups of the worker."""

    process: "subprocess.Popen[bytes]"
    admin: AIOKafkaAdminClient
    settings: Settings

    async def handled(self, expected: int, timeout_s: float) -> "Reached":
        """When both have committed so many changes. Raises LoadError."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise LoadError(f"The worker ended with {self.process.returncode}; its log stands above.")
            groups = self.settings.group_id, f"{self.settings.app_id}{_OF_THE_REPEATER}"
            if min([await self._committed(group) for group in groups]) >= expected:
                return Reached(time.monotonic(), process_s(self.process.pid))
            await asyncio.sleep(_POLL_S)
        raise LoadError(f"Not all of {expected:,} changes were handled in {timeout_s:.0f} s; see --timeout.")

    async def _committed(self, group: str) -> int:
        topic, partitions = self.settings.topics.cdc, range(self.settings.topic_partitions)
        try:
            offsets = await self.admin.list_consumer_group_offsets(
                group, partitions=[TopicPartition(topic, number) for number in partitions]
            )
        except GroupCoordinatorNotAvailableError:  # a new broker has no topic of offsets yet
            return 0
        return sum(max(0, found.offset) for found in offsets.values())


@dataclass(frozen=True, slots=True)
class Reached:
    """When, in monotonic seconds, and what the worker had used by then."""

    at_s: float
    cpu_s: float
