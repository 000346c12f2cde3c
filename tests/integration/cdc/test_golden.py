"""The scenarios of the golden file, once more through the writer, PostgreSQL and Debezium.

UPDATE_GOLDEN=1 writes the file.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from app.config.settings import Settings
from app.core import dates
from app.core.models import Batch, EdgeRow, EntityKey, EntityRow, PropertyRow, RemovedEdge, TemporalRow
from cdc.events.processor import CdcProcessor
from storage.stores import Stores
from tests.integration.cdc.conftest import PARTITIONS
from tests.unit.cdc import golden
from tests.unit.cdc.fakes import FakeDeadLetters, FakeSink
from tests.unit.cdc.golden import ITEMS, LEDA, VERIFIED

pytestmark = pytest.mark.integration
TOLD_AT = datetime(2025, 9, 24, tzinfo=UTC)
Connection = Any  # asyncpg.Connection[asyncpg.Record]

USER, OTHER, ORGANISATION, FRIEND, FORGOTTEN = range(1, 6)
KEYS = {
    USER: EntityKey("user", "user_aqNSvRZ_74"),
    OTHER: EntityKey("user", "user-1d98ac68-00fa-4439-b5ec-43bfb0f3e4b8"),
    ORGANISATION: EntityKey("organization", "org-13"),
    FRIEND: EntityKey("user", "friend"),
    FORGOTTEN: EntityKey("user", "forgotten"),
}


class Capture:
    """Reads the CDC topic as it grows, and tells what the processor makes of it."""

    def __init__(self, consumer: "AIOKafkaConsumer[bytes, bytes]", stores: Stores) -> None:
        self._consumer = consumer
        self._stores = stores
        self.scenarios: list[golden.Scenario] = []

    async def passed(self, changes: int) -> list[Any]:
        """The next changes, which are so many."""
        records: list[Any] = []
        async with asyncio.timeout(120):
            while len(records) < changes:
                fetched = await self._consumer.getmany(timeout_ms=200)
                records += [record for batch in fetched.values() for record in batch]
        assert len(records) == changes
        return records

    async def scenario(self, name: str, *, changes: int) -> None:
        """The next changes are those of a scenario."""
        records = await self.passed(changes)
        sink, dead = FakeSink(), FakeDeadLetters()
        processor = CdcProcessor(
            directory=self._stores.directory,
            events=sink,
            dead_letters=dead,
            commit_log=self._stores.commit_log,
        )
        await processor.process(records)
        assert dead.letters == []
        keys = [(number, key.type, key.reference) for number, key in KEYS.items()]
        self.scenarios.append(
            golden.Scenario(
                name=name,
                keys=keys,
                changes=golden.changes(records),
                events=[golden.told(event) for event in sink.events],
            )
        )


@pytest.fixture
async def stores(settings: Settings) -> AsyncIterator[Stores]:
    stores = await Stores.open(settings)
    yield stores
    await stores.close()


@pytest.fixture
async def capture(settings: Settings, stores: Stores, connector: str) -> AsyncIterator[Capture]:
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka_brokers, auto_offset_reset="earliest")
    await consumer.start()
    consumer.assign([TopicPartition(settings.topics.cdc, number) for number in range(PARTITIONS)])
    yield Capture(consumer, stores)
    await consumer.stop()


def properties(key: EntityKey, told: dict[str, dict[str, str]]) -> list[PropertyRow]:
    return [
        PropertyRow(*key, name, json.dumps(each["value"]), _stored(each["reference_date"]), TOLD_AT)
        for name, each in told.items()
    ]


def _stored(date: str) -> str:
    return dates.to_text(dates.parse(date, field="reference_date"))


def _edge(left: int, right: int, kind: str, metadata: str | None = None) -> EdgeRow:
    return EdgeRow(*KEYS[left], *KEYS[right], kind, metadata, TOLD_AT)


def _point(number: int, value: str, *, version: int = 0) -> TemporalRow:
    date = dates.parse("2025-10-05T14:59:59Z", field="property_reference_date")
    start, period = dates.period_of(date, "month")
    return TemporalRow(*KEYS[number], "tpv", "month", start, period, date, version, value, TOLD_AT)


async def _of_the_seed(capture: Capture, sql: Connection, stores: Stores) -> None:
    """What the writer can't write, a property of another form and a relationship of another type, by SQL."""
    write = stores.writer.write
    old = {"value": "batataa@example.com", "reference_date": VERIFIED["verified_at"]}
    new = {"value": "batataa@examaple.com", "reference_date": "2025-09-23T11:42:56Z"}
    name = {"value": "João", "reference_date": VERIFIED["verified_at"]}
    await write(Batch(properties=properties(KEYS[USER], LEDA)))
    await capture.scenario("entity created", changes=1)
    await write(Batch(properties=properties(KEYS[OTHER], {"name": name, "email": old})))
    await capture.passed(1)
    await write(Batch(properties=properties(KEYS[OTHER], {"name": name, "email": new})))
    await capture.scenario("entity updated", changes=1)
    update = "UPDATE entities SET properties = jsonb_build_object('email', $2::jsonb) WHERE id = $1"
    await sql.execute(update, OTHER, json.dumps({"value": "batataa@example.com", **VERIFIED}))
    await capture.passed(1)
    await sql.execute(update, OTHER, json.dumps({"value": "batataa@examaple.com", **VERIFIED}))
    await capture.scenario("entity updated, with the members of the seed", changes=1)
    await write(Batch(entities=[EntityRow(*KEYS[ORGANISATION], TOLD_AT)]))
    await capture.passed(1)
    await write(Batch(edges=[_edge(USER, ORGANISATION, "member_of")]))
    await capture.scenario("relationship created", changes=1)
    await write(Batch(edges=[_edge(USER, ORGANISATION, "his")]))
    await capture.passed(1)
    await sql.execute("UPDATE edges SET relationship_type = 'has' WHERE relationship_type = 'his'")
    await capture.scenario("relationship updated", changes=1)
    await write(Batch(temporal=[_point(USER, ITEMS)]))
    await capture.scenario("temporal data created", changes=1)
    await write(Batch(temporal=[_point(USER, ITEMS.replace("999", "1"), version=1)]))
    await capture.scenario("temporal data updated", changes=1)


async def _deletes(capture: Capture, sql: Connection, stores: Stores) -> None:
    """Rows are deleted by SQL: the service deletes none but in erasures and merges."""
    await stores.writer.write(Batch(removed_edges=[RemovedEdge(*KEYS[USER], *KEYS[ORGANISATION], "has")]))
    await capture.scenario("relationship marked removed", changes=1)
    await sql.execute("DELETE FROM edges WHERE relationship_type = 'has'")
    await capture.scenario("relationship's row deleted after it was marked", changes=1)
    await stores.writer.write(Batch(edges=[_edge(USER, ORGANISATION, "member_of", '{"role": "owner"}')]))
    await capture.scenario("relationship's metadata updated", changes=1)
    await sql.execute("DELETE FROM edges")
    await capture.scenario("relationship's row deleted", changes=1)
    await sql.execute("DELETE FROM temporal_properties")
    await capture.scenario("temporal data deleted", changes=1)
    await sql.execute("DELETE FROM entities WHERE id = $1", USER)
    await capture.scenario("entity deleted", changes=1)


async def _erasure(capture: Capture, stores: Stores) -> None:
    told = {"name": {"value": "secret", "reference_date": "2025-01-01T00:00:00Z"}}
    await stores.writer.write(Batch(entities=[EntityRow(*KEYS[FRIEND], TOLD_AT)]))
    await stores.writer.write(
        Batch(
            properties=properties(KEYS[FORGOTTEN], told),
            edges=[
                _edge(FORGOTTEN, ORGANISATION, "member_of", '{"role": "secret"}'),
                _edge(FRIEND, FORGOTTEN, "knows", '{"since": "secret"}'),
            ],
            temporal=[_point(FORGOTTEN, '"secret"')],
        )
    )
    await capture.passed(5)
    receipt = await stores.eraser.erase(KEYS[FORGOTTEN])
    assert receipt is not None
    await capture.scenario("erasure", changes=8)  # each row is marked, then deleted
    (erased,) = [e for e in capture.scenarios[-1].events if e["headers"]["event_type"] == "entity_erased"]
    assert erased["body"]["data"]["ledger_id"] == receipt.ledger_id
    assert erased["body"]["data"]["reference"] == f"entity-{FORGOTTEN}"


async def test_the_pipeline_gives_the_golden_events(
    capture: Capture, sql: Connection, stores: Stores
) -> None:
    await _of_the_seed(capture, sql, stores)
    await _deletes(capture, sql, stores)
    await _erasure(capture, stores)
    found = await sql.fetch("SELECT id, type, reference FROM entities")
    assert all(KEYS[row["id"]] == (row["type"], row["reference"]) for row in found)
    if os.environ.get("UPDATE_GOLDEN") == "1":
        text = json.dumps([asdict(scenario) for scenario in capture.scenarios], indent=1, ensure_ascii=False)
        golden.PATH.write_text(f"{text}\n")
    expected = golden.load()
    assert [scenario.name for scenario in capture.scenarios] == list(expected)
    for scenario in capture.scenarios:
        # Partitions are read in any order; in each the order is that of the changes.
        found = sorted(map(golden.without_the_run, scenario.events), key=str)
        assert found == sorted(map(golden.without_the_run, expected[scenario.name].events), key=str)
        identities = {
            golden.identity(change, operation)
            for change in scenario.changes
            for operation in (change["value"]["op"], "e")
        }
        for event in scenario.events:
            assert (event["body"]["event_idempotency_key"], event["headers"]["event_id"]) in identities
