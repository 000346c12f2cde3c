"""What Debezium publishes with our configuration."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord

from app.config.settings import Settings
from app.config.topics import TopicNames
from infra.connector import ConnectClient, connector_config
from infra.rest import request
from infra.settings import InfraSettings

pytestmark = pytest.mark.integration

HEARTBEAT_MS = "1000"


class Cdc:
    """A registered connector on the test's database, and a reader of its topic."""

    def __init__(self, settings: Settings, client: ConnectClient, name: str) -> None:
        self.client = client
        self.name = name
        self.config = connector_config(
            database_dsn=settings.postgres_dsn.get_secret_value(),
            cdc_topic=settings.topics.cdc,
            slot=name,
            topic_prefix=settings.topic_prefix,
            credentials="env:USER_PROFILE_CDC",  # its own login, by Connect's config provider
        )
        self.consumer = AIOKafkaConsumer(
            settings.topics.cdc,
            bootstrap_servers=settings.kafka_brokers,
            auto_offset_reset="earliest",
        )

    async def register(self) -> None:
        await asyncio.to_thread(self.client.register, self.name, self.config)

    async def read(self, count: int) -> "list[ConsumerRecord[bytes, bytes]]":
        """The next `count` records; fails with what came when no more do."""
        found: list[ConsumerRecord[bytes, bytes]] = []
        try:
            async with asyncio.timeout(120):
                while len(found) < count:
                    found.append(await self.consumer.getone())
        except TimeoutError:
            pytest.fail(f"{len(found)} of {count} records came: {[(r.partition, r.key) for r in found]}")
        return found


@pytest.fixture
async def cdc(
    connect_stack: InfraSettings, settings: Settings, topics: TopicNames, run_id: str
) -> AsyncIterator[Cdc]:
    cdc = Cdc(settings, ConnectClient(connect_stack.connect_url), f"cdc_{run_id}")
    await cdc.consumer.start()
    yield cdc
    await cdc.consumer.stop()
    await asyncio.to_thread(cdc.client.delete, cdc.name)


@pytest.fixture
async def connection(settings: Settings) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    connection = await asyncpg.connect(settings.postgres_dsn.get_secret_value())
    yield connection
    await connection.close()


async def _entity(connection: "asyncpg.Connection[asyncpg.Record]", reference: str) -> int:
    query = "INSERT INTO entities (type, reference) VALUES ('user', $1) RETURNING id"
    return int(await connection.fetchval(query, reference))


async def _edge_and_point(connection: "asyncpg.Connection[asyncpg.Record]", entity: int, other: int) -> None:
    await connection.execute(
        "INSERT INTO edges (left_entity_id, right_entity_id, relationship_type) VALUES ($1, $2, 'knows')",
        entity,
        other,
    )
    await connection.execute(
        "INSERT INTO temporal_properties "
        "(entity_id, key, granularity, period_start, reference_date, value, idempotency_key) "
        "VALUES ($1, 'spent', 'month', '1997-01-01Z', '1997-01-31Z', '10.50', 'key')",
        entity,
    )


def _summary(record: "ConsumerRecord[bytes, bytes]") -> tuple[str, str, Any]:
    envelope = json.loads(record.value)
    return envelope["op"], envelope["source"]["table"], envelope


async def test_rest_shows_no_password(
    cdc: Cdc, connect_stack: InfraSettings, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await cdc.register()
    await _entity(connection, "u")
    assert len(await cdc.read(1)) == 1
    name, password = connect_stack.postgres_login("cdc")
    url = f"{connect_stack.connect_url}/connectors/{cdc.name}"
    for path in ("", "/config", "/status", "/tasks"):
        _, answer = await asyncio.to_thread(request, "GET", url + path)
        assert password not in json.dumps(answer)
        assert connect_stack.postgres_password not in json.dumps(answer)
    user = await connection.fetchval(
        "SELECT usename FROM pg_stat_replication r JOIN pg_replication_slots s ON s.active_pid = r.pid "
        "WHERE slot_name = $1",
        cdc.name,
    )
    assert user == name


async def test_rows_of_one_entity_share_key_and_partition_in_order(
    cdc: Cdc, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await cdc.register()
    ids = [await _entity(connection, f"u{n}") for n in range(8)]
    for entity in ids:
        await _edge_and_point(connection, entity, ids[0])
    await connection.execute("DELETE FROM edges WHERE left_entity_id = $1", ids[3])

    records = await cdc.read(8 * 3 + 1)
    by_key: dict[bytes, list[ConsumerRecord[bytes, bytes]]] = {}
    for record in records:
        by_key.setdefault(record.key, []).append(record)
    assert set(by_key) == {
        json.dumps({"entity_id": entity}, separators=(",", ":")).encode() for entity in ids
    }
    for group in by_key.values():
        assert len({record.partition for record in group}) == 1
        tables = [_summary(record)[1] for record in group]
        assert tables[:3] == ["entities", "edges", "temporal_properties"]
    assert len({record.partition for record in records}) == 2, "the entities use both partitions"

    operation, table, envelope = next(s for s in map(_summary, records) if s[0] == "d")
    assert (operation, table, envelope["after"]) == ("d", "edges", None)
    assert envelope["before"]["left_entity_id"] == ids[3], "the whole old row is there"
    _, _, point = next(s for s in map(_summary, records) if s[1] == "temporal_properties")
    assert point["after"]["period_start"] == "1997-01-01T00:00:00.000000Z"
    assert point["after"]["value"] == "10.50"


async def test_changes_before_the_registration_are_not_lost_and_a_second_one_repeats_nothing(
    cdc: Cdc, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    before = await _entity(connection, "before")
    cdc.config["snapshot.mode"] = "initial"
    await cdc.register()
    [snapshot] = await cdc.read(1)
    assert _summary(snapshot)[:2] == ("r", "entities")
    assert json.loads(snapshot.key) == {"entity_id": before}

    await cdc.register()
    after = await _entity(connection, "after")
    [created] = await cdc.read(1)
    assert _summary(created)[:2] == ("c", "entities")
    assert json.loads(created.key) == {"entity_id": after}


async def test_the_heartbeat_moves_the_slot_and_stays_off_the_topic(
    cdc: Cdc, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    cdc.config["heartbeat.interval.ms"] = "200"
    await cdc.register()
    await _entity(connection, "first")
    await cdc.read(1)
    async with asyncio.timeout(120):
        while not await connection.fetchval("SELECT EXISTS (SELECT FROM dbz_heartbeat), pg_sleep(0.1)"):
            pass
        position = await connection.fetchval("SELECT pg_current_wal_lsn()")
        query = (
            "SELECT confirmed_flush_lsn >= $1, pg_sleep(0.1) FROM pg_replication_slots WHERE slot_name = $2"
        )
        while not await connection.fetchval(query, position, cdc.name):
            pass
    await _entity(connection, "second")
    [record] = await cdc.read(1)
    assert _summary(record)[1] == "entities"


@pytest.mark.timeout(300)
async def test_the_slot_of_a_quiet_database_keeps_no_wal_of_another_one(
    cdc: Cdc, settings: Settings, connect_stack: InfraSettings
) -> None:
    cdc.config["heartbeat.interval.ms"] = HEARTBEAT_MS
    await cdc.register()
    other = await asyncpg.connect(connect_stack.postgres_dsn(database="postgres"))
    try:
        for _ in range(8):
            await other.execute("SELECT pg_logical_emit_message(false, 'noise', repeat('x', 1000000))")
        written = await other.fetchval("SELECT pg_current_wal_flush_lsn()")
        query = "SELECT restart_lsn >= $1, pg_sleep(0.5) FROM pg_replication_slots WHERE slot_name = $2"
        # The slot can let go of what lies before a record of running transactions, which the server writes each 15 s.
        async with asyncio.timeout(120):
            while not await other.fetchval(query, written, cdc.name):
                pass
    finally:
        await other.close()
