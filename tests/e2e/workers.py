"""A worker as a process, and what its consumer group has committed."""

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError

from app.config.settings import Settings

ROOT = Path(__file__).parents[2]


def environment(settings: Settings, **overrides: str) -> dict[str, str]:
    """The environment that gives a process these settings."""
    return (
        os.environ
        | {
            "PROFILE_APP_ID": settings.app_id,
            "PROFILE_ROLES": ",".join(settings.roles),
            "PROFILE_PROCESSES": "1",  # each costs a second of CPU to start; some tests ask for several
            "PROFILE_KAFKA_BROKERS": ",".join(settings.kafka_brokers),
            "PROFILE_TOPIC_PREFIX": settings.topic_prefix,
            "PROFILE_TOPIC_PARTITIONS": str(settings.topic_partitions),
            "PROFILE_POSTGRES_DSN": settings.postgres_dsn.get_secret_value(),
            "PROFILE_POSTGRES_READ_DSN": settings.read_dsn.get_secret_value(),
            "PROFILE_POSTGRES_WRITE_DSN": settings.write_dsn.get_secret_value(),
            "PROFILE_POSTGRES_REPLICA_DSNS": ",".join(
                dsn.get_secret_value() for dsn in settings.postgres_replica_dsns
            ),
            "PROFILE_REDIS_NODES": ",".join(settings.redis_nodes),
            "PROFILE_CACHE_PREFIX": settings.cache_prefix,
            "PROFILE_WEB_PORT": str(settings.web_port),
            "PROFILE_CONNECT_URL": settings.connect_url,
        }
        | overrides
    )


class Worker:
    """`faust -A app worker`; its log lies in a file. Use as a context manager: it is killed at the end.

    `root` is the tree of the code that it runs, with the packages of this virtual environment.
    """

    def __init__(
        self,
        settings: Settings,
        log: Path,
        *arguments: str,
        app: str = "app",
        root: Path = ROOT,
        **overrides: str,
    ) -> None:
        self.settings = settings
        self._root = root
        self._app = app
        self._log = log
        self._arguments = arguments
        self._environment = environment(settings, **{"PYTHONPATH": str(root), **overrides})
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        faust = str(Path(sys.executable).with_name("faust"))
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [faust, "-A", self._app, "worker", "-l", "info", *self._arguments],
                cwd=self._root,
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        assert self._process is not None
        return self._process

    @property
    def log(self) -> str:
        return self._log.read_text()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    async def terminate(self, *, within_s: float) -> int:
        """SIGTERM; returns the exit code. Fails when it takes longer."""
        self.process.send_signal(signal.SIGTERM)
        return await self.exit_code(within_s=within_s)

    async def exit_code(self, *, within_s: float) -> int:
        try:
            return await asyncio.to_thread(self.process.wait, within_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"It runs after {within_s} s still:\n{self.log[-3000:]}") from None

    async def has_committed(self, topics: Sequence[str], records: int, *, within_s: float) -> float:
        """Wait until its group has committed so many records of these topics; returns the seconds it took."""
        started = time.monotonic()
        while (seen := await committed(self.settings, topics)) < records:
            assert self.process.poll() is None, f"It ended:\n{self.log[-3000:]}"
            assert time.monotonic() - started < within_s, f"{seen} of {records}:\n{self.log[-3000:]}"
            await asyncio.sleep(0.1)
        return time.monotonic() - started


async def until_logged(worker: Worker, text: str, *, times: int = 1, within_s: float = 30) -> None:
    """Wait until its log holds the text so many times."""
    async with asyncio.timeout(within_s):
        while worker.log.count(text) < times:
            assert worker.process.poll() is None, f"It ended:\n{worker.log[-3000:]}"
            await asyncio.sleep(0.05)


async def committed(settings: Settings, topics: Sequence[str]) -> int:
    """The sum of what the group has committed; topics begin at offset 0."""
    return sum((await offsets(settings, topics)).values())


async def offsets(settings: Settings, topics: Sequence[str]) -> dict[TopicPartition, int]:
    """What the group has committed of each partition; 0 for nothing."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_brokers)
    await admin.start()
    try:
        partitions = [TopicPartition(t, n) for t in topics for n in range(settings.topic_partitions)]
        try:
            found = await admin.list_consumer_group_offsets(settings.group_id, partitions=partitions)
        except GroupCoordinatorNotAvailableError:  # a new broker has no topic of offsets yet
            return dict.fromkeys(partitions, 0)
        return {partition: max(0, told.offset) for partition, told in found.items()}
    finally:
        await admin.close()


async def read_all(settings: Settings, topic: str, expected: int) -> list[object]:
    """That many records of a topic, from its start."""
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=settings.kafka_brokers, auto_offset_reset="earliest", group_id=None
    )
    await consumer.start()
    found: list[object] = []
    try:
        async with asyncio.timeout(15):
            while len(found) < expected:
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    found.extend(records)
    finally:
        await consumer.stop()
    return found


async def fingerprint(dsn: str) -> dict[str, tuple[int, str]]:
    """Rows and a digest of each table, without ids and times of writing."""
    queries = {
        "entities": "SELECT type, reference, properties::text FROM entities ORDER BY 1, 2",
        "edges": "SELECT l.type, l.reference, r.type, r.reference, e.relationship_type, e.metadata::text, "
        "e.metadata_date::text FROM edges e JOIN entities l ON l.id = e.left_entity_id "
        "JOIN entities r ON r.id = e.right_entity_id ORDER BY 1, 2, 3, 4, 5",
        "temporal": "SELECT n.type, n.reference, t.key, t.granularity::text, t.period_start::text, "
        "t.reference_date::text, t.version, t.value::text FROM temporal_properties t "
        "JOIN entities n ON n.id = t.entity_id ORDER BY 1, 2, 3, 4, 5",
    }
    connection = await asyncpg.connect(dsn)
    try:
        found = {}
        for name, sql in queries.items():
            rows = await connection.fetch(sql)
            digest = hashlib.sha256(b"".join(repr(tuple(row)).encode() for row in rows))
            found[name] = (len(rows), digest.hexdigest())
        return found
    finally:
        await connection.close()
