"""Each committed change gives its event, exactly once by its key and in the order of commits, whatever is killed."""

import asyncio
import json
import logging
import os
import random
import signal
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from app.settings import Role, Settings
from infra import stack
from infra.connector import ConnectClient, connector_config
from tests.e2e.committed import Committed, committed, watch
from tests.e2e.own_stack import OwnStack
from tests.e2e.row_load import RowLoad, in_order
from tests.e2e.workers import Worker
from tests.stack import TestStack, application_settings, own_database, own_topics
from tests.unit.cdc.schemas import require_valid

pytestmark = [pytest.mark.e2e, pytest.mark.chaos]

logger = logging.getLogger(__name__)

SERVERS: Final = ("postgres", "kafka", "connect")
DRAINED_S: Final = 150.0  # generous: the last restart of Connect and all that waits for it
SMALL: Final = {
    "PROFILE_WINDOW_MAX_RECORDS": "300",
    "PROFILE_FETCH_MAX_RECORDS": "150",
    "PROFILE_COMMIT_INTERVAL_S": "0.2",
}


class Pipeline:
    """A connector and a worker on servers that may be killed; whoever ends is started again."""

    def __init__(self, own: OwnStack, settings: Settings, directory: Path, name: str) -> None:
        self.own = own
        self.settings = settings
        self.dsn = settings.postgres_dsn.get_secret_value()
        self.slot = f"seen_{name}"
        self.deaths: Counter[int] = Counter()
        self._name = f"cdc_{name}"
        self._directory = directory
        self._client = ConnectClient(own.settings.connect_url)
        self._worker: Worker | None = None
        self._stopping = False

    @asynccontextmanager
    async def running(self, hooks: str = "") -> AsyncIterator[None]:
        connection = await asyncpg.connect(self.dsn)
        await watch(connection, self.slot)
        await connection.close()
        config = connector_config(
            database_dsn=self.dsn,
            cdc_topic=self.settings.topics.cdc,
            slot=self._name,
            topic_prefix=self.settings.topic_prefix,
        )
        await asyncio.to_thread(self._client.register, self._name, config)
        keeping = asyncio.create_task(self._keep_a_worker(hooks))
        try:
            yield
        finally:
            self._stopping = True
            await keeping
            await asyncio.to_thread(self._client.delete, self._name)

    def kill_worker(self) -> None:
        """As a machine that loses its power."""
        if self._worker is not None:
            self._worker.process.kill()

    async def kill(self, name: str) -> None:
        """A server, that is started again at once."""
        # PostgreSQL crashes as well by SIGQUIT, and takes its children with it.
        number = signal.SIGQUIT if name == "postgres" else signal.SIGKILL
        await asyncio.to_thread(self.own.stop, name, number)
        await asyncio.to_thread(self.own.start, *SERVERS)

    async def _keep_a_worker(self, hooks: str) -> None:
        started = 0
        while not self._stopping:
            log = self._directory / f"worker-{started}.log"
            told = {"PROFILE_HOOKS": hooks} if started == 0 else {}
            started += 1
            with Worker(self.settings, log, **SMALL, **told) as self._worker:
                while self._worker.process.poll() is None and not self._stopping:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
                if not self._stopping:
                    self.deaths[self._worker.process.poll() or 0] += 1

    async def ends(self, topic: str) -> int:
        """The sum of the ends of a topic's partitions."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.settings.kafka_brokers)
        await consumer.start()
        try:
            partitions = [TopicPartition(topic, n) for n in range(self.settings.topic_partitions)]
            return sum((await consumer.end_offsets(partitions)).values())
        finally:
            await consumer.stop()

    async def expected(self) -> list[Committed]:
        """What was committed, by the slot that nothing else reads."""
        connection = await asyncpg.connect(self.dsn)
        try:
            return await committed(connection, self.slot)
        finally:
            await connection.close()

    async def events(self, wanted: set[str], *, within_s: float) -> list[tuple[str, str]]:
        """(key of the record, idempotency key) of all events, partitions in order, once all that is wanted came."""
        topic = self.settings.topics.domain_events
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.settings.kafka_brokers,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
        )
        await consumer.start()
        found: list[tuple[str, str]] = []
        missing = set(wanted)
        try:
            consumer.assign([TopicPartition(topic, n) for n in range(self.settings.topic_partitions)])
            async with asyncio.timeout(within_s):
                while missing or await self._grows(consumer):
                    for records in (await consumer.getmany(timeout_ms=500)).values():
                        for record in records:
                            require_valid(record.value, record.headers)
                            unique = json.loads(record.value)["event_idempotency_key"]
                            found.append((record.key.decode(), unique))
                            missing.discard(unique)
        except TimeoutError:
            logger.warning("%d of %d events did not come", len(missing), len(wanted))
        finally:
            await consumer.stop()
        return found

    @staticmethod
    async def _grows(consumer: "AIOKafkaConsumer[bytes, bytes]") -> bool:
        ends = await consumer.end_offsets(list(consumer.assignment()))
        return any([await consumer.position(partition) < end for partition, end in ends.items()])


async def require_exact(pipeline: Pipeline) -> None:
    """The events are the committed changes: none is missing, none is another's, each entity's are in order."""
    expected = await pipeline.expected()
    position = {change.key: number for number, change in enumerate(expected)}
    assert len(position) == len(expected), "keys of changes differ"
    found = await pipeline.events(set(position), within_s=DRAINED_S)
    first = list(dict.fromkeys(found))
    keys = {unique for _, unique in first}
    logger.warning(
        "%d changes, %d events, of them %d repeated; workers died %s",
        len(expected),
        len(found),
        len(found) - len(keys),
        dict(pipeline.deaths),
    )
    assert len(first) == len(keys), "an event came under two keys of records"
    assert not position.keys() - keys, (
        f"{len(position.keys() - keys)} of {len(position)} changes have no event"
    )
    assert not keys - position.keys(), f"{len(keys - position.keys())} events have no committed change"
    by_key: defaultdict[str, list[int]] = defaultdict(list)
    by_entity: defaultdict[int, set[str]] = defaultdict(set)
    for key, unique in first:
        by_key[key].append(position[unique])
        by_entity[expected[position[unique]].entity].add(key)
    assert all(in_order(positions) for positions in by_key.values())
    assert max(map(len, by_key.values())) > 20, "no entity was changed often enough to tell its order"
    renamed = [names for names in by_entity.values() if len(names) > 1]
    assert all(any(name.startswith("entity-") for name in names) for names in renamed)


@pytest.fixture
async def pipeline(
    own_stack: OwnStack, test_stack: TestStack, run_id: str, tmp_path: Path
) -> AsyncIterator[Pipeline]:
    shared = test_stack.need("redis")
    await asyncio.to_thread(own_stack.start, *SERVERS)
    async with own_database(own_stack.settings, f"test_{run_id}") as database:
        settings = application_settings(
            own_stack.settings, database=database, topic_prefix=f"t-{run_id}.", cache_prefix=f"t-{run_id}"
        ).model_copy(update={"roles": [Role.CDC], "redis_nodes": shared.redis_nodes})
        async with own_topics(settings):
            yield Pipeline(own_stack, settings, tmp_path, run_id)
    await asyncio.to_thread(stack.reset, own_stack.settings, ["connect"])


async def until(condition: Callable[[], Awaitable[bool]], *, within_s: float = 40) -> None:
    async with asyncio.timeout(within_s):
        while not await condition():  # noqa: ASYNC110 - servers tell nobody
            await asyncio.sleep(0.05)


async def kill_in_the_middle_of_a_copy(pipeline: Pipeline, load: RowLoad, name: str, *, rows: int) -> None:
    """Kill a server when Connect has sent some of the rows of one COPY, and not all of them."""
    topic = pipeline.settings.topics.cdc
    before = await pipeline.ends(topic)
    await load.copy(rows)

    async def is_in_the_middle() -> bool:
        return await pipeline.ends(topic) > before + rows // 10

    await until(is_in_the_middle)
    await pipeline.kill(name)


@pytest.mark.ci
@pytest.mark.timeout(400)
async def test_one_kill_of_each(pipeline: Pipeline) -> None:
    """A worker between publishing and acknowledging; Connect, the primary and the broker in the middle of a COPY."""
    load = RowLoad(pipeline.dsn, writers=2)
    async with pipeline.running("before-ack:kill:5"):
        await load.start()
        for name in ("connect", "postgres", "kafka"):
            await kill_in_the_middle_of_a_copy(pipeline, load, name, rows=1_500)
        await load.stop()
        await require_exact(pipeline)
        assert pipeline.deaths[-signal.SIGKILL] >= 1, "the hook was not reached"


@pytest.mark.timeout(500)
async def test_a_minute_of_kills_at_random(pipeline: Pipeline) -> None:
    seed = int(os.environ.get("FAULTS_SEED") or random.SystemRandom().randrange(10**6))
    logger.warning("FAULTS_SEED=%d", seed)
    chance = random.Random(seed)
    load = RowLoad(pipeline.dsn)
    killed: Counter[str] = Counter()
    async with pipeline.running("before-ack:kill:20"):
        await load.start()
        ends_at = asyncio.get_running_loop().time() + 60
        while asyncio.get_running_loop().time() < ends_at:
            await load.copy(chance.randrange(100, 3_000))
            await asyncio.sleep(chance.uniform(0, 3))
            name = chance.choice(["worker", "worker", *SERVERS])
            killed[name] += 1
            if name == "worker":
                pipeline.kill_worker()
            else:
                await pipeline.kill(name)
        await load.stop()
        logger.warning("killed: %s", dict(killed))
        await require_exact(pipeline)
