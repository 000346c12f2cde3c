"""A connector and a worker whose servers may be killed, and what must have come out of them."""

import asyncio
import json
import logging
import signal
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition

from app.config.settings import Role, Settings
from infra.connector import ConnectClient, connector_config
from tests.e2e.committed import Committed, committed, watch
from tests.e2e.own_stack import OwnStack
from tests.e2e.row_load import in_order
from tests.e2e.workers import Worker
from tests.e2e.workers import committed as offsets_of
from tests.unit.cdc.schemas import require_valid

logger = logging.getLogger(__name__)

SERVERS: Final = ("postgres", "kafka", "connect")
DRAINED_S: Final = 150.0  # generous: the last restart of Connect and all that waits for it
SMALL: Final = {
    "PROFILE_WINDOW_MAX_RECORDS": "300",
    "PROFILE_FETCH_MAX_RECORDS": "150",
    "PROFILE_COMMIT_INTERVAL_S": "0.2",
}


class Told(NamedTuple):
    """An event: the key of its record, its idempotency key, and whether it tells anything."""

    key: str
    unique: str
    with_values: bool


class Pipeline:
    """A connector and a worker on servers that may be killed; whoever ends is started again."""

    def __init__(self, own: OwnStack, settings: Settings, directory: Path, name: str) -> None:
        self.own = own
        self.settings = settings
        self.dsn = settings.postgres_dsn.get_secret_value()
        self.slot = f"seen_{name}"
        self.deaths: Counter[int] = Counter()
        self.name = f"cdc_{name}"
        self._directory = directory
        self._client = ConnectClient(own.settings.connect_url)
        self._worker: Worker | None = None
        self._stopping = False

    @asynccontextmanager
    async def running(self, hooks: str = "", **connector: str) -> AsyncIterator[None]:
        """`hooks` are the first worker's; `connector` replaces parts of the connector's configuration."""
        connection = await asyncpg.connect(self.dsn)
        await watch(connection, self.slot)
        await connection.close()
        config = connector_config(
            database_dsn=self.dsn,
            cdc_topic=self.settings.topics.cdc,
            slot=self.name,
            topic_prefix=self.settings.topic_prefix,
        )
        await asyncio.to_thread(self._client.register, self.name, config | connector)
        keeping = asyncio.create_task(self._keep_a_worker(hooks))
        try:
            yield
        finally:
            self._stopping = True
            await keeping
            await asyncio.to_thread(self._client.delete, self.name)

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

    async def repeated(self) -> int:
        """Of how many changes the repeater has committed the offset."""
        group = {"app_id": f"{self.settings.app_id}-cache-repeater", "roles": list(Role)}
        return await offsets_of(self.settings.model_copy(update=group), [self.settings.topics.cdc])

    async def events(self, wanted: set[str], *, within_s: float) -> list[Told]:
        """All events, partitions in order, once all that is wanted came."""
        topic = self.settings.topics.domain_events
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.settings.kafka_brokers,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
        )
        await consumer.start()
        found: list[Told] = []
        missing = set(wanted)
        try:
            consumer.assign([TopicPartition(topic, n) for n in range(self.settings.topic_partitions)])
            async with asyncio.timeout(within_s):
                while missing or await self._grows(consumer):
                    for records in (await consumer.getmany(timeout_ms=500)).values():
                        for record in records:
                            require_valid(record.value, record.headers)
                            body = json.loads(record.value)
                            unique, values = body["event_idempotency_key"], bool(body["data"]["properties"])
                            found.append(Told(record.key.decode(), unique, values))
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


async def require_exact(pipeline: Pipeline, *, least_of_one: int = 20) -> None:
    """The events are the committed changes: none is missing, none is another's, each entity's are in order.

    Some entity was changed more often than `least_of_one`, so that an order is seen.
    """
    expected = await pipeline.expected()
    changes = {change.key: change for change in expected}
    position = {change.key: number for number, change in enumerate(expected)}
    assert len(position) == len(expected), "keys of changes differ"
    found = await pipeline.events(set(position), within_s=DRAINED_S)
    keys: defaultdict[str, set[str]] = defaultdict(set)
    for event in found:
        keys[event.unique].add(event.key)
    logger.warning(
        "%d changes, %d events, of them %d repeated, %d under several keys; workers died %s",
        len(expected),
        len(found),
        len(found) - len(keys),
        sum(len(names) > 1 for names in keys.values()),
        dict(pipeline.deaths),
    )
    missing = sorted(number for key, number in position.items() if key not in keys)
    assert not missing, (
        f"{len(missing)} of {len(position)} changes have no event: {missing[:20]} … {missing[-3:]}"
    )
    assert not keys.keys() - position.keys(), f"{len(keys.keys() - position)} events have no committed change"
    wrong = [e for e in found if not changes[e.unique].may_be_told(e.key, with_values=e.with_values)]
    assert not wrong, [(event, changes[event.unique]) for event in wrong[:3]]
    by_key: defaultdict[str, list[int]] = defaultdict(list)
    for key, unique in dict.fromkeys((event.key, event.unique) for event in found):
        if len(keys[unique]) == 1:  # else a consumer who deduplicates has it from elsewhere
            by_key[key].append(position[unique])
    disordered = [key for key, positions in by_key.items() if not in_order(positions)]
    assert not disordered, disordered[:3]
    assert max(map(len, by_key.values())) > least_of_one, (
        "no entity was changed often enough to tell its order"
    )


async def until(condition: Callable[[], Awaitable[bool]], *, within_s: float = 40) -> None:
    async with asyncio.timeout(within_s):
        while not await condition():  # noqa: ASYNC110 - servers tell nobody
            await asyncio.sleep(0.05)
