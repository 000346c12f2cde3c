"""SQL on the primary → Debezium → the processor → domain events."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.config.settings import Settings
from cdc.events.processor import CdcProcessor
from cdc.events.publisher import KafkaEventSink
from storage.stores import Stores
from tests.integration.cdc.conftest import read, read_events
from tests.unit.cdc.fakes import FakeDeadLetters

pytestmark = pytest.mark.integration
Connection = Any  # asyncpg.Connection[asyncpg.Record]
ITEMS = '{"items": [{"mdr": 2, "rav": 999, "amount": 915103, "payment_method": "pix"}]}'


class Pipeline:
    """Takes changes from the CDC topic through the processor to the topic of domain events."""

    def __init__(self, settings: Settings, stores: Stores, sink: KafkaEventSink) -> None:
        self.broker = settings.kafka_brokers[0]
        self.names = settings.topics
        self.dead = FakeDeadLetters()
        self.processor = CdcProcessor(
            directory=stores.directory,
            events=sink,
            dead_letters=self.dead,
            commit_log=stores.commit_log,
        )

    async def events(self, *, changes: int, events: int) -> list[tuple[dict[str, str], dict[str, Any]]]:
        """Headers and bodies, of each key in order, after that many changes gave that many events."""
        await self.processor.process(await read(self.broker, self.names.cdc, changes))
        assert self.dead.letters == []
        records = await read_events(self.broker, self.names.domain_events, events)
        return [({name: value.decode() for name, value in r.headers}, json.loads(r.value)) for r in records]


@pytest.fixture
async def pipeline(settings: Settings, connector: str, domain_topic: str) -> AsyncIterator[Pipeline]:
    stores = await Stores.open(settings)
    sink = KafkaEventSink(settings.kafka_brokers, domain_topic)
    yield Pipeline(settings, stores, sink)
    await sink.close()
    await stores.close()


async def entity(sql: Connection, kind: str, reference: str, properties: str = "{}") -> int:
    return await sql.fetchval(  # type: ignore[no-any-return]
        "INSERT INTO entities (type, reference, properties) VALUES ($1, $2, $3) RETURNING id",
        kind,
        reference,
        properties,
    )


async def test_each_kind_of_change_gives_its_event(pipeline: Pipeline, sql: Connection) -> None:
    name = '{"name": {"value": "Lady Leda", "reference_date": "2025-09-22T22:24:43.000000Z"}}'
    user = await entity(sql, "user", "u-1", name)
    organisation = await entity(sql, "organization", "org-13")
    await sql.execute(
        """UPDATE entities SET properties = properties || '{"n": {"value": 12345678901234567890.123}}'
        WHERE id = $1""",
        user,
    )
    await sql.execute("UPDATE entities SET updated_at = now() WHERE id = $1", user)
    edge = await sql.fetchval(
        "INSERT INTO edges (left_entity_id, right_entity_id, relationship_type) VALUES ($1, $2, 'member_of') "
        "RETURNING id",
        user,
        organisation,
    )
    await sql.execute("UPDATE edges SET relationship_type = 'works_for' WHERE id = $1", edge)
    await sql.execute("UPDATE edges SET removed_at = now() WHERE id = $1", edge)
    await sql.execute("UPDATE edges SET removed_at = NULL WHERE id = $1", edge)
    await sql.execute(
        "INSERT INTO temporal_properties (entity_id, key, granularity, period_start, reference_date, value, "
        "idempotency_key) VALUES ($1, 'tpv', 'month', '2025-10-01Z', '2025-10-05T14:59:59Z', $2, 'k')",
        user,
        ITEMS,
    )
    await sql.execute("UPDATE temporal_properties SET value = $1", ITEMS.replace("999", "1"))
    await sql.execute("UPDATE temporal_properties SET version = 2")
    await sql.execute("DELETE FROM temporal_properties")
    await sql.execute("DELETE FROM edges")
    await sql.execute("DELETE FROM entities WHERE id = $1", user)

    events = await pipeline.events(changes=14, events=12)
    mine = [(h, b) for h, b in events if b["data"]["reference"] == "u-1"]
    assert [headers["event_type"] for headers, _ in mine] == [
        "entity_created",
        "entity_properties_updated",
        "relationship_created",
        "relationship_updated",
        "relationship_deleted",
        "relationship_created",
        "temporal_data_created",
        "temporal_data_updated",
        "temporal_data_deleted",
        "relationship_deleted",
        "entity_deleted",
    ]
    headers, body = mine[3]
    assert headers["relation_type"] == "works_for"
    assert body["data"] == {
        "type": "user",
        "reference": "u-1",
        "target_entity_type": "organization",
        "target_entity_reference": "org-13",
        "properties": {"relationship_type": {"old": "member_of", "new": "works_for"}},
    }
    headers, body = mine[6]
    assert headers["fields_changed"] == "granularity,idempotency_key,items,key,reference_date"
    told = body["data"]["properties"]
    assert told["reference_date"] == {"old": None, "new": "2025-10-05T14:59:59Z"}
    assert told["value"] == {"old": None, "new": ITEMS}
    assert mine[7][1]["data"]["properties"] == {"value": {"old": ITEMS, "new": ITEMS.replace("999", "1")}}
    assert len({body["event_idempotency_key"] for _, body in events}) == 12
    assert len({headers["event_id"] for headers, _ in events}) == 12


async def test_no_digit_is_lost_from_the_table_to_the_event(pipeline: Pipeline, sql: Connection) -> None:
    await entity(sql, "user", "u-1", '{"n": {"value": 12345678901234567890.123}, "one": {"value": 1.0}}')
    await pipeline.events(changes=1, events=1)
    (record,) = await read_events(pipeline.broker, pipeline.names.domain_events, 1)
    assert b'"value": 12345678901234567890.123}' in record.value
    assert b'"value": 1.0}' in record.value


async def test_rows_of_one_copy_are_distinct_and_a_redelivery_repeats_their_keys(
    pipeline: Pipeline, sql: Connection
) -> None:
    rows = [("device", f"d-{n}") for n in range(500)]
    await sql.copy_records_to_table("entities", records=rows, columns=("type", "reference"))
    first = await pipeline.events(changes=500, events=500)
    keys = {body["event_idempotency_key"] for _, body in first}
    assert len(keys) == 500
    both = await pipeline.events(changes=500, events=1000)
    assert {body["event_idempotency_key"] for _, body in both} == keys


async def test_a_value_out_of_line_that_was_not_touched_is_no_change(
    pipeline: Pipeline, sql: Connection
) -> None:
    user = await entity(sql, "user", "u-1")
    await sql.execute(
        """UPDATE entities SET properties = jsonb_build_object('bio', (
            SELECT string_agg(md5(n::text), '') FROM generate_series(1, 2000) n)) WHERE id = $1""",
        user,
    )
    await sql.execute("UPDATE entities SET updated_at = now() WHERE id = $1", user)
    await sql.execute("""UPDATE entities SET reference = 'u-2' WHERE id = $1""", user)
    events = await pipeline.events(changes=4, events=4)
    kinds = sorted((h["event_type"], b["data"]["reference"]) for h, b in events)
    assert kinds == [
        ("entity_created", "u-1"),
        ("entity_created", "u-2"),
        ("entity_deleted", "u-1"),
        ("entity_properties_updated", "u-1"),
    ]


async def test_who_is_gone_before_it_was_ever_seen_is_named_by_its_id(
    pipeline: Pipeline, sql: Connection
) -> None:
    user, other = await entity(sql, "user", "u-1"), await entity(sql, "user", "u-2")
    await sql.execute(
        "INSERT INTO edges (left_entity_id, right_entity_id, relationship_type) VALUES ($1, $2, 'knows')",
        user,
        other,
    )
    await sql.execute("DELETE FROM edges")
    await sql.execute("DELETE FROM entities")
    changes = await read(pipeline.broker, pipeline.names.cdc, 6)
    edges = [change for change in changes if json.loads(change.value)["source"]["table"] == "edges"]
    await pipeline.processor.process(edges)
    records = await read_events(pipeline.broker, pipeline.names.domain_events, 2)
    assert {record.key for record in records} == {f"entity-{user}".encode()}
    assert json.loads(records[0].value)["data"]["target_entity_reference"] == f"entity-{other}"
