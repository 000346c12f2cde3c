"""A connector, a worker that publishes what it captures, and what a consumer makes of it."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import TopicPartition

from app.commands.command_stores import as_operator
from app.config.settings import Role, Settings
from app.config.topics import TopicNames
from app.core.clock import SystemClock
from app.core.records import PublishedNote, Record
from app.kafka.reading import bounds, read_to_end
from cdc.connector.client import ConnectClient
from cdc.connector.report import ConnectorReport, look
from cdc.events.publisher import KafkaEventSink
from cdc.recovery.noted_state import NotedView
from cdc.recovery.recovery import Recovery
from infra.settings import InfraSettings
from storage.stores import Stores
from tests.e2e.workers import Worker
from tests.unit.cdc.schemas import require_valid

Connection = Any  # asyncpg.Connection[asyncpg.Record]
View = dict[tuple[str, ...], Any]


@pytest.fixture
def cdc_settings(settings: Settings, run_id: str, connect_stack: InfraSettings) -> Settings:
    own = {"connector_name": f"cdc_{run_id}", "cdc_slot": f"cdc_{run_id}", "cdc_heartbeat_ms": 500}
    return settings.model_copy(update={**own, "roles": [Role.CDC], "connect_url": connect_stack.connect_url})


class Capture:
    """A connector, a worker that publishes, and a connection to break things with."""

    def __init__(self, settings: Settings, stores: Stores, sql: Connection, worker: Worker) -> None:
        self.settings = settings
        self.stores = stores
        self.sql = sql
        self.worker = worker
        self.connect = ConnectClient(settings.connect_url)
        self.ended: list[
            tuple[dict[str, str], Record]
        ] = []  # events that were read, and left the topic since

    @property
    def name(self) -> str:
        return self.settings.connector_name

    async def look(self) -> ConnectorReport:
        return await look(
            name=self.name,
            slot_name=self.settings.cdc_slot,
            slots=self.stores.slots,
            connect=self.connect,
            clock=SystemClock(),
        )

    async def until(
        self, reached: Callable[[], Awaitable[bool]], what: str, *, within_s: float = 150
    ) -> None:
        deadline = asyncio.get_running_loop().time() + within_s
        while not await reached():
            assert asyncio.get_running_loop().time() < deadline, f"{what} did not come"
            await asyncio.sleep(0.2)

    async def drop_slot(self) -> None:
        """As an operator does it by mistake, under the connector's feet."""
        query = "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1"

        async def dropped() -> bool:
            await self.sql.execute(query, self.settings.cdc_slot)
            try:
                await self.sql.execute("SELECT pg_drop_replication_slot($1)", self.settings.cdc_slot)
            except asyncpg.ObjectInUseError:
                return False
            return True

        await self.until(dropped, "the slot's end")

    async def events(self) -> list[tuple[dict[str, str], Record]]:
        """All that was published, with their headers."""
        found = list(self.ended)
        brokers, topic = self.settings.kafka_brokers, self.settings.topics.domain_events
        async for records in read_to_end(brokers, topic):
            for record in records:
                require_valid(record.value, record.headers)
                found.append(({name: value.decode() for name, value in record.headers}, record))
        return found

    async def end_events(self) -> None:
        """As if all that was published were older than the retention of the topic."""
        self.ended = await self.events()
        topic = self.settings.topics.domain_events
        admin = AIOKafkaAdminClient(bootstrap_servers=self.settings.kafka_brokers)
        await admin.start()
        ends = {number: end for number, (_, end) in (await bounds(self.settings.kafka, topic)).items()}
        await admin.delete_records(
            {
                TopicPartition(topic, number): RecordsToDelete(before_offset=end)
                for number, end in ends.items()
            }
        )
        await admin.close()

    async def forget_notes(self) -> None:
        """As the version before left an installation."""
        notes = await self.notes()
        keys = [*notes.things, *(f"erasure/{ledger_id}".encode() for ledger_id in notes.erasures)]
        sink = self.sink()
        await sink.publish((), [PublishedNote(key, None) for key in keys])
        await sink.close()
        await self.sql.execute("DELETE FROM published_notes")

    async def notes(self) -> NotedView:
        """What the notes say."""
        view = NotedView()
        async for records in read_to_end(self.settings.kafka, self.settings.topics.published):
            for record in records:
                view.add(record)
        return view

    def sink(self) -> KafkaEventSink:
        topics = self.settings.topics
        return KafkaEventSink(self.settings.kafka_brokers, topics.domain_events, topics.published)

    async def view(self) -> View:
        """What a consumer has who folds all events and keeps ids; of points only that they are there."""
        view: View = {}
        references: dict[str, str] = {}
        erased: set[str] = set()
        for headers, record in await self.events():
            data = json.loads(record.value or b"")["data"]
            if "type" in data:
                references[headers["entity_id"]] = data["reference"]
            if headers["event_type"] == "entity_erased":
                erased.add(headers["entity_id"])
            elif "type" in data or headers["event_type"].startswith("temporal"):
                fold(view, headers["event_type"], data)
        names = {references[number] for number in erased}
        points = tuple(f"{number}:" for number in erased)
        return {
            thing: told
            for thing, told in view.items()
            if not (thing[0] == "point" and thing[1].startswith(points)) and names.isdisjoint(thing[1:])
        }

    async def truth(self) -> View:
        found: View = {}
        for row in await self.sql.fetch("SELECT type, reference, properties::text AS p FROM entities"):
            told = row["p"].replace('.000000Z"', 'Z"')  # events tell dates without zeros at their end
            found["entity", row["type"], row["reference"]] = json.loads(told)
        for row in await self.sql.fetch(
            "SELECT l.reference AS l, r.reference AS r, e.relationship_type AS t, e.metadata::text AS m "
            "FROM edges e JOIN entities l ON l.id = left_entity_id JOIN entities r ON r.id = right_entity_id "
            "WHERE removed_at IS NULL"
        ):
            found["edge", row["l"], row["r"], row["t"]] = json.loads(row["m"] or "null")
        for row in await self.sql.fetch("SELECT idempotency_key AS i FROM temporal_properties"):
            found["point", row["i"]] = True
        return found

    async def until_view_is_true(self) -> None:
        async def equal() -> bool:
            return await self.view() == await self.truth()

        try:
            await self.until(equal, "the view that equals the database")
        except AssertionError:
            assert await self.view() == await self.truth(), self.worker.log[-3000:]

    async def recovered_erasure(self) -> tuple[str, str]:
        """Whom the one erasure names that a recovery told; nothing recovered holds the name."""
        recovered = [(headers, record) for headers, record in await self.events() if "recovered" in headers]
        assert not [
            record for _, record in recovered if b"forgotten" in (record.key or b"") + (record.value or b"")
        ]
        (erasure,) = [record for headers, record in recovered if headers["event_type"] == "entity_erased"]
        told = json.loads(erasure.value or b"")["data"]
        return told["reference"], told["ledger_id"]

    async def until_stored(self) -> None:
        async def stored() -> bool:
            return (await self.look()).position is not None

        await self.until(stored, "a stored position")

    async def until_failed(self) -> None:
        async def failed() -> bool:
            report = await self.look()
            return report.connector is not None and report.connector.failed

        await self.until(failed, "the connector's failure")

    async def recover(self) -> Counter[str]:
        sink = self.sink()
        recovery = Recovery(
            settings=self.settings,
            connect=self.connect,
            slots=self.stores.slots,
            snapshots=self.stores.snapshots,
            erasures=self.stores.erasures,
            notes=self.stores.published_notes,
            drop_caches=self.stores.invalidator.drop_all,
            events=sink,
        )
        try:
            return await recovery.run()
        finally:
            await sink.close()


def fold(view: View, kind: str, data: dict[str, Any]) -> None:
    told = data["properties"]
    if kind.startswith("entity_"):
        key: tuple[str, ...] = ("entity", data["type"], data["reference"])
        if kind == "entity_created":
            view[key] = {}
        if kind == "entity_deleted":
            view.pop(key, None)
        else:
            view[key] |= {name: change["new"] for name, change in told.items()}
    elif kind.startswith("relationship_"):
        if kind == "relationship_deleted" and not told:
            return  # by an erasure
        change = told.get("relationship_type", {})
        ends = ("edge", data["reference"], data["target_entity_reference"])
        if kind == "relationship_deleted":
            view.pop((*ends, change["old"]), None)
        elif kind == "relationship_created":
            view[*ends, change["new"]] = told.get("metadata", {}).get("new")
        else:
            view[*ends, "knows"] = told["metadata"]["new"]
    elif kind == "temporal_data_created":
        view["point", told["idempotency_key"]["new"]] = True
    elif kind == "temporal_data_deleted":
        view.pop(("point", told["idempotency_key"]["old"]) if told else (), None)


@pytest.fixture
async def capture(
    cdc_settings: Settings, topics: TopicNames, db: Connection, tmp_path: Path
) -> AsyncIterator[Capture]:
    # It makes slots, as `connector recover` does.
    stores = await Stores.open(as_operator(cdc_settings))
    overrides = {
        "PROFILE_CONNECTOR_NAME": cdc_settings.connector_name,
        "PROFILE_CDC_SLOT": cdc_settings.cdc_slot,
        "PROFILE_CDC_WATCH_INTERVAL_S": "0.5",
    }
    with Worker(cdc_settings, tmp_path / "worker.log", **overrides) as worker:
        capture = Capture(cdc_settings, stores, db, worker)
        yield capture
    await capture.connect.delete(capture.name)
    await stores.close()


async def entity(sql: Connection, reference: str, properties: str = '{"n": {"value": 1}}') -> int:
    query = "INSERT INTO entities (type, reference, properties) VALUES ('user', $1, $2) RETURNING id"
    return int(await sql.fetchval(query, reference, properties))


async def edge(sql: Connection, left: int, right: int) -> int:
    query = (
        "INSERT INTO edges (left_entity_id, right_entity_id, relationship_type, metadata) "
        """VALUES ($1, $2, 'knows', '{"since": 1}') RETURNING id"""
    )
    return int(await sql.fetchval(query, left, right))


async def point(sql: Connection, owner: int, month: str) -> None:
    await sql.execute(
        "INSERT INTO temporal_properties (entity_id, key, granularity, period_start, reference_date, value, "
        "idempotency_key) VALUES ($1, 'tpv', 'month', $2::text::timestamptz, $2::text::timestamptz, '1', $3)",
        owner,
        f"{month}-01Z",
        f"{owner}:tpv:month:{month}",
    )


async def forgettable(sql: Connection, name: str, friend: int) -> int:
    """Somebody with a point, and a relationship in either direction."""
    dated = '{"n": {"value": 1, "reference_date": "2025-01-01T00:00:00.000000Z"}}'
    number = await entity(sql, f"forgotten-{name}", dated)
    await edge(sql, number, friend)
    await edge(sql, friend, number)
    await point(sql, number, "2025-01")
    return number
