"""SQL on the primary → Debezium → the processor → domain events."""

import json
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.config.settings import Settings
from app.core.models import Batch, EntityKey
from cdc.events.processor import CdcProcessor
from cdc.events.publisher import KafkaEventSink
from storage.stores import Stores
from tests.integration.cdc.conftest import read, read_events
from tests.rows import edge, point, prop
from tests.rows import entity as entity_row
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


async def test_an_erasure_in_pieces_gives_the_events_of_one_and_its_own_comes_last(
    pipeline: Pipeline, settings: Settings, sql: Connection
) -> None:
    stores = await Stores.open(
        settings.model_copy(update={"erasure_piece_rows": 10, "erasure_rows_per_s": 1_000_000})
    )
    old = datetime.now(UTC) - timedelta(hours=1)
    pairs = [("a", f"n{n}") for n in range(15)] + [(f"n{n}", "a") for n in range(15)]
    await stores.writer.write(
        Batch(
            properties=[prop("a", "name", '"secret"', told_at=old)],
            edges=[edge(*pair)._replace(told_at=old) for pair in pairs],
            temporal=[point("a", "k", "1", told_at=old)],
        )
    )
    number = await sql.fetchval("SELECT id FROM entities WHERE reference = 'a'")
    receipt = await stores.eraser.erase(EntityKey("user", "a"))
    assert receipt is not None
    assert await stores.deletions.piece()
    # Somebody else's change, and who comes back under the name, do not wait for the rest.
    await stores.writer.write(Batch(entities=[entity_row("other"), entity_row("a", datetime.now(UTC))]))
    while await stores.deletions.piece():
        pass
    await stores.close()
    # 16 entities, 30 edges and a point are made; one is hidden, 31 rows are marked and deleted; two are made; it goes.
    events = await pipeline.events(changes=47 + 1 + 62 + 2 + 1, events=47 + 31 + 2 + 2)
    kinds = Counter(headers["event_type"] for headers, _ in events)
    assert kinds == {
        "entity_created": 18,
        "relationship_created": 30,
        "temporal_data_created": 1,
        "relationship_deleted": 30,
        "temporal_data_deleted": 1,
        "entity_deleted": 1,
        "entity_erased": 1,
    }
    records = await read_events(pipeline.broker, pipeline.names.domain_events, len(events))
    own = [record for record in records if dict(record.headers)["entity_id"] == str(number).encode()]
    assert len({record.partition for record in own}) == 1
    ended = [
        dict(record.headers)["event_type"] for record in own if record.key == f"entity-{number}".encode()
    ]
    assert ended[-2:] == [b"entity_deleted", b"entity_erased"]
    assert Counter(ended[:-2]) == {b"relationship_deleted": 15, b"temporal_data_deleted": 1}
    gone = [
        json.loads(record.value)["data"]
        for record in records
        if b"deleted" in dict(record.headers)["event_type"]
    ]
    assert all(data["properties"] == {} for data in gone)
    assert not any("a" in (data["reference"], data.get("target_entity_reference")) for data in gone)
