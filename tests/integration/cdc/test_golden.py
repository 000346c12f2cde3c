"""The scenarios of the golden file, once more through PostgreSQL and Debezium. UPDATE_GOLDEN=1 writes the file."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from app.models import EntityKey
from app.settings import Settings
from cdc.processor import CdcProcessor
from storage.stores import Stores
from tests.integration.cdc.conftest import PARTITIONS
from tests.unit.cdc import golden
from tests.unit.cdc.fakes import FakeDeadLetters, FakeSink
from tests.unit.cdc.golden import ITEMS, LEDA, VERIFIED

pytestmark = pytest.mark.integration
Connection = Any  # asyncpg.Connection[asyncpg.Record]

USER, OTHER, ORGANISATION, FRIEND, FORGOTTEN = range(1, 6)
KEYS = {
    USER: EntityKey("user", "user_aqNSvRZ_74"),
    OTHER: EntityKey("user", "user-1d98ac68-00fa-4439-b5ec-43bfb0f3e4b8"),
    ORGANISATION: EntityKey("organization", "org-13"),
    FRIEND: EntityKey("user", "friend"),
    FORGOTTEN: EntityKey("user", "forgotten"),
}
_ENTITY = "INSERT INTO entities (type, reference, properties) VALUES ($1, $2, $3) RETURNING id"
_EDGE = (
    "INSERT INTO edges (left_entity_id, right_entity_id, relationship_type, metadata) VALUES ($1, $2, $3, $4)"
)
_POINT = (
    "INSERT INTO temporal_properties (entity_id, key, granularity, period_start, reference_date, value, "
    "idempotency_key) VALUES ($1, 'tpv', 'month', '2025-10-01Z', '2025-10-05T14:59:59Z', $2, $3)"
)


class Capture:
    """Reads the CDC topic as it grows, and tells what the processor makes of it."""

    def __init__(self, consumer: "AIOKafkaConsumer[bytes, bytes]", stores: Stores) -> None:
        self._consumer = consumer
        self._stores = stores
        self.scenarios: list[golden.Scenario] = []

    async def passed(self, changes: int) -> list[Any]:
        """The next changes, which are so many."""
        records: list[Any] = []
        async with asyncio.timeout(30):
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


async def entity(sql: Connection, number: int, properties: str = "{}") -> None:
    assert await sql.fetchval(_ENTITY, *KEYS[number], properties) == number


async def _of_the_seed(capture: Capture, sql: Connection) -> None:
    old = {"value": "batataa@example.com", **VERIFIED}
    new = {"value": "batataa@examaple.com", **VERIFIED}
    name = {"value": "João", "reference_date": "2025-05-23T20:32:27.628939Z"}
    await entity(sql, USER, json.dumps(LEDA))
    await capture.scenario("entity created", changes=1)
    await entity(sql, OTHER, json.dumps({"name": name, "email": old}))
    await capture.passed(1)
    update = "UPDATE entities SET properties = $2 WHERE id = $1"
    await sql.execute(update, OTHER, json.dumps({"name": name, "email": new}))
    await capture.scenario("entity updated", changes=1)
    await entity(sql, ORGANISATION)
    await capture.passed(1)
    await sql.execute(_EDGE, USER, ORGANISATION, "member_of", None)
    await capture.scenario("relationship created", changes=1)
    await sql.execute(_EDGE, USER, ORGANISATION, "his", None)
    await capture.passed(1)
    await sql.execute("UPDATE edges SET relationship_type = 'has' WHERE relationship_type = 'his'")
    await capture.scenario("relationship updated", changes=1)
    await sql.execute(_POINT, USER, ITEMS, f"{USER}:tpv:month:2025-10")
    await capture.scenario("temporal data created", changes=1)
    await sql.execute("UPDATE temporal_properties SET value = $1", ITEMS.replace("999", "1"))
    await capture.scenario("temporal data updated", changes=1)


async def _deletes(capture: Capture, sql: Connection) -> None:
    await sql.execute("UPDATE edges SET removed_at = now() WHERE relationship_type = 'has'")
    await capture.scenario("relationship marked removed", changes=1)
    await sql.execute("DELETE FROM edges WHERE relationship_type = 'has'")
    await capture.scenario("relationship's row deleted after it was marked", changes=1)
    await sql.execute('UPDATE edges SET metadata = \'{"role": "owner"}\'')
    await capture.passed(1)
    await sql.execute("DELETE FROM edges")
    await capture.scenario("relationship's row deleted", changes=1)
    await sql.execute("DELETE FROM temporal_properties")
    await capture.scenario("temporal data deleted", changes=1)
    await sql.execute("DELETE FROM entities WHERE id = $1", USER)
    await capture.scenario("entity deleted", changes=1)


async def _erasure(capture: Capture, sql: Connection, stores: Stores) -> None:
    told = '{"name": {"value": "secret", "reference_date": "2025-01-01T00:00:00.000000Z"}}'
    await entity(sql, FRIEND)
    await entity(sql, FORGOTTEN, told)
    await sql.execute(_EDGE, FORGOTTEN, ORGANISATION, "member_of", '{"role": "secret"}')
    await sql.execute(_EDGE, FRIEND, FORGOTTEN, "knows", '{"since": "secret"}')
    await sql.execute(_POINT, FORGOTTEN, '"secret"', f"{FORGOTTEN}:tpv:month:2025-10")
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
    await _of_the_seed(capture, sql)
    await _deletes(capture, sql)
    await _erasure(capture, sql, stores)
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
