"""A pipeline of its own for `bench-events`: topics, a connector with its slot, workers, and a reader of the events."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition

from app.config.settings import Role, Settings
from app.core.errors import ProfileError
from app.kafka.admin import create_topics
from app.kafka.client import client_options
from cdc.connector.client import ConnectClient
from cdc.connector.config import config_of
from load.errors import LoadError
from load.measure.latency import Arrival
from load.measure.readers import Reader, delete_topics, reader_process
from load.measure.stage_cpu import StageCpu, sessions_of

_POLL_MS = 20
_JOIN_S = 120.0
_AGENT = [str(Path(sys.executable).with_name("faust")), "-A", "app", "worker", "-l", "warn"]


def settings_of(name: str) -> Settings:
    """The environment's servers, with topics, a consumer group, a connector and a slot of this run."""
    return Settings(
        topic_prefix=f"{name}.",
        app_id=name,
        connector_name=name,
        cdc_slot=name.replace("-", "_"),
        cdc_heartbeat_ms=60_000,
    )


class Pipeline:
    """Running, and empty: what was in the database before gives no events."""

    def __init__(self, settings: Settings, consumer: AIOKafkaConsumer, sql: Any, agents: list[int]) -> None:
        self.settings = settings
        self.sql = sql
        self._consumer = consumer
        self._agents = agents

    async def cpu(self) -> StageCpu:
        """Of each process on the way."""
        return StageCpu(self.settings, self._agents, await sessions_of(self.settings, self.sql))

    async def arrivals(
        self, count: int, begun: Callable[[Any], float | None], *, timeout_s: float
    ) -> list[Arrival]:
        """The next `count` events of which `begun` knows the begin. Raises LoadError when they don't come in time."""
        found: list[Arrival] = []
        end = time.monotonic() + timeout_s
        while len(found) < count:
            fetched = await self._consumer.getmany(timeout_ms=_POLL_MS)
            at_s = time.time()
            for records in fetched.values():
                for record in records:
                    began = begun(record)
                    if began is not None:
                        found.append(Arrival(begun_s=began, at_s=at_s))
            if time.monotonic() > end:
                raise LoadError(
                    f"{len(found):,} of {count:,} events came in {timeout_s:.0f} s; see --timeout."
                )
        return found


@asynccontextmanager
async def captured(settings: Settings) -> AsyncIterator[Any]:
    """Topics, and a connector with its slot, of these settings, removed afterwards; a connection to the primary."""
    connect = ConnectClient(settings.connect_url)
    async with AsyncExitStack() as stack:
        await create_topics(settings.kafka, settings.topic_specs)
        logical = f"{settings.topic_prefix}user-profile"
        used = {spec.name for spec in settings.topic_specs}
        heartbeats = {f"{logical}.public.dbz_heartbeat", f"__debezium-heartbeat.{logical}"}
        stack.push_async_callback(delete_topics, settings.kafka, used | heartbeats)
        sql = await asyncpg.connect(settings.postgres_dsn.get_secret_value())
        stack.push_async_callback(sql.close)
        stack.push_async_callback(_remove, connect, settings, sql)
        await connect.register(settings.connector_name, config_of(settings) | {"snapshot.mode": "no_data"})
        yield sql


@asynccontextmanager
async def pipeline(name: str, roles: Sequence[Role]) -> AsyncIterator[Pipeline]:
    """Start it, a process for each role; the connector, its slot and the topics are removed afterwards."""
    settings = settings_of(name)
    topics = settings.topics
    async with AsyncExitStack() as stack:
        sql = await stack.enter_async_context(captured(settings))
        agents = []
        for role in roles:
            own = settings.model_copy(update={"roles": [role]})
            reader = Reader(label=role.value, command=_AGENT, environment=_names(settings))
            agents.append(stack.enter_context(reader_process(reader, own)).pid)
        consumer = AIOKafkaConsumer(**client_options(settings.kafka), fetch_max_wait_ms=_POLL_MS)
        await consumer.start()
        stack.push_async_callback(consumer.stop)
        partitions = [TopicPartition(topics.domain_events, n) for n in range(settings.topic_partitions)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        made = Pipeline(settings, consumer, sql, agents)
        await _until_it_flows(made)
        yield made


def _names(settings: Settings) -> dict[str, str]:
    return {"PROFILE_CONNECTOR_NAME": settings.connector_name, "PROFILE_CDC_SLOT": settings.cdc_slot}


async def _until_it_flows(made: Pipeline) -> None:
    reference = f"{made.settings.app_id}-first"
    await made.sql.execute("INSERT INTO entities (type, reference) VALUES ('bench', $1)", reference)
    await made.arrivals(
        1, lambda record: 0.0 if reference.encode() in record.key else None, timeout_s=_JOIN_S
    )


async def _remove(connect: ConnectClient, settings: Settings, sql: Any) -> None:
    try:
        await connect.stop(settings.connector_name)
        await connect.wait_for(settings.connector_name, "STOPPED")
        await connect.forget_position(settings.connector_name)
        await connect.delete(settings.connector_name)
    except ProfileError as error:
        print(f"The connector {settings.connector_name} stays: {error}", file=sys.stderr)
    query = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1 AND NOT active"
    for _ in range(50):
        await sql.execute(query, settings.cdc_slot)
        if not await sql.fetchval(
            "SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1", settings.cdc_slot
        ):
            return
        await asyncio.sleep(0.2)
    print(f"The slot {settings.cdc_slot} stays: drop it.", file=sys.stderr)


async def paced(rate: int, seconds: int, step: Callable[[int], Any]) -> int:
    """Call `step` for each number in turn, so many times in a second; late ones at once. Returns how many."""
    loop = asyncio.get_running_loop()
    began, done = loop.time(), 0
    while done < rate * seconds:
        due = min(rate * seconds, int((loop.time() - began) * rate))
        while done < due:
            await step(done)
            done += 1
        await asyncio.sleep(0.005)
    return done
