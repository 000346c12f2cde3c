"""What must not be lost, and what must not be told, between a table and the topic."""

import json

import pytest

from tests.integration.cdc.conftest import read, read_events
from tests.integration.cdc.test_pipeline import Connection, Pipeline, entity, pipeline

__all__ = ["pipeline"]  # the fixture

pytestmark = pytest.mark.integration

_POINT = (
    "INSERT INTO temporal_properties (entity_id, key, granularity, period_start, reference_date, value, "
    "idempotency_key) VALUES ($1, 'tpv', 'month', $2::text::timestamptz, $2::text::timestamptz, $3, $2)"
)
BIG = "1" + "0" * 400  # what jsonb makes of 1E400
EXACT = "12345678901234567890.123"


async def raw(pipeline: Pipeline, *, changes: int, events: int) -> list[bytes]:
    """The values of the events, as bytes, of each key in order."""
    await pipeline.events(changes=changes, events=events)
    return [r.value for r in await read_events(pipeline.broker, pipeline.names.domain_events, events)]


async def test_numbers_keep_their_digits_in_each_table(pipeline: Pipeline, sql: Connection) -> None:
    user = await entity(sql, "user", "u-1", f'{{"a": {{"value": {EXACT}}}, "b": {{"value": 1E400}}}}')
    other = await entity(sql, "user", "u-2")
    await sql.execute(
        "INSERT INTO edges (left_entity_id, right_entity_id, relationship_type, metadata) "
        "VALUES ($1, $2, 'knows', $3)",
        user,
        other,
        f'{{"a": {EXACT}, "b": 1E400, "c": 1.0}}',
    )
    await sql.execute(_POINT, user, "1997-01-01Z", f"[{EXACT}, 1E400, 1.0]")
    await sql.execute(
        """UPDATE entities SET properties = jsonb_set(properties, '{a,value}', '12345678901234567890.124')
        WHERE id = $1""",
        user,
    )
    values = [v for v in await raw(pipeline, changes=5, events=5) if b'"reference":"u-1"' in v]
    created, related, point, updated = values
    assert f'"new":{{"value": {EXACT}}}'.encode() in created
    assert f'"new":{{"value": {BIG}}}'.encode() in created
    assert f'{{"a": {EXACT}, "b": {BIG}, "c": 1.0}}'.encode() in related
    assert f'"[{EXACT}, {BIG}, 1.0]"'.encode() in point
    assert f'"old":{{"value": {EXACT}}},"new":{{"value": 12345678901234567890.124}}'.encode() in updated
    assert b'"b"' not in updated


LARGE = "".join(  # not compressed below 100 kB
    chr(0x4E00 + n * 7919 % 20_000) for n in range(40_000)
)


@pytest.mark.parametrize("identity", ["as migrated", "DEFAULT"])
async def test_a_large_value_that_was_not_touched(pipeline: Pipeline, sql: Connection, identity: str) -> None:
    """100 kB out of line; without REPLICA IDENTITY FULL the change is a dead letter, rather than a wrong event."""
    large = json.dumps({"bio": {"value": LARGE}})
    user = await entity(sql, "user", "u-1", large)
    size = await sql.fetchval("SELECT pg_column_size(properties) FROM entities WHERE id = $1", user)
    assert size > 100_000, "it is not compressed away"
    assert await sql.fetchval(
        "SELECT pg_relation_size(reltoastrelid) > 100000 FROM pg_class WHERE oid = 'entities'::regclass"
    )
    if identity == "DEFAULT":
        await sql.execute("ALTER TABLE entities REPLICA IDENTITY DEFAULT")
    await sql.execute("UPDATE entities SET type = 'person' WHERE id = $1", user)
    if identity == "DEFAULT":
        await pipeline.processor.process(await read(pipeline.broker, pipeline.names.cdc, 2))
        assert [letter.error for letter in pipeline.dead.letters] == ["missing-before"]
        assert (await read_events(pipeline.broker, pipeline.names.domain_events, 1))[0].key == b"user:u-1"
        return
    events = await pipeline.events(changes=2, events=3)
    bodies = {(h["event_type"], h["entity_type"]): b["data"]["properties"] for h, b in events}
    assert bodies["entity_deleted", "user"]["bio"]["old"] == json.loads(large)["bio"]
    assert bodies["entity_created", "person"]["bio"]["new"] == json.loads(large)["bio"]


async def test_large_values_of_points_and_edges_that_were_not_touched(
    pipeline: Pipeline, sql: Connection
) -> None:
    user = await entity(sql, "user", "u-1")
    for month in ("1997-01-01Z", "2011-06-01Z"):
        await sql.execute(_POINT, user, month, json.dumps(LARGE))
    await sql.execute(
        "INSERT INTO edges (left_entity_id, right_entity_id, relationship_type, metadata) VALUES ($1, $1, 'a', $2)",
        user,
        json.dumps({"note": LARGE}),
    )
    await sql.execute("UPDATE temporal_properties SET reference_date = reference_date + interval '1 day'")
    await sql.execute("UPDATE edges SET relationship_type = 'b'")
    events = await pipeline.events(changes=7, events=7)
    moved = [b["data"]["properties"] for h, b in events if h["event_type"] == "temporal_data_updated"]
    assert [sorted(properties) for properties in moved] == [["reference_date"], ["reference_date"]]
    renamed = [b["data"]["properties"] for h, b in events if h["event_type"] == "relationship_updated"]
    assert [sorted(properties) for properties in renamed] == [["relationship_type"]]


async def test_a_new_column_does_not_stop_the_stream(pipeline: Pipeline, sql: Connection) -> None:
    user = await entity(sql, "user", "u-1")
    await sql.execute(_POINT, user, "1997-01-01Z", "1")
    await pipeline.events(changes=2, events=2)
    for table in ("entities", "edges", "temporal_properties"):
        await sql.execute(f"ALTER TABLE {table} ADD COLUMN note text DEFAULT 'n', ADD COLUMN mood int[]")
    await sql.execute("ALTER TABLE entities RENAME COLUMN note TO remark")
    await sql.execute("ALTER TABLE entities DROP COLUMN mood")
    await sql.execute("UPDATE entities SET remark = 'no event' WHERE id = $1", user)
    await sql.execute("UPDATE temporal_properties SET value = '2', note = 'x'")
    await entity(sql, "user", "u-2")
    # What was read before comes again, with its old columns.
    events = await pipeline.events(changes=5, events=2 + 4)
    assert sorted(h["event_type"] for h, _ in events) == [
        *["entity_created"] * 3,
        *["temporal_data_created"] * 2,
        "temporal_data_updated",
    ]


async def test_what_changes_nothing_visible_gives_no_event(pipeline: Pipeline, sql: Connection) -> None:
    user = await entity(sql, "user", "u-1", '{"a": {"value": 1}, "b": {"value": 2}}')
    await sql.execute(
        "INSERT INTO edges (left_entity_id, right_entity_id, relationship_type, removed_at) "
        "VALUES ($1, $1, 'knew', now())",
        user,
    )
    await sql.execute(_POINT, user, "1997-01-01Z", '{"x": 1}')
    await sql.execute("UPDATE entities SET updated_at = now(), created_at = now()")
    await sql.execute("""UPDATE entities SET properties = '{"b":{"value":2},  "a":{"value":1}}'""")
    await sql.execute("UPDATE edges SET metadata = '{}', metadata_date = now()")
    await sql.execute("DELETE FROM edges")
    await sql.execute("UPDATE temporal_properties SET version = 9, updated_at = now()")
    await sql.execute("""UPDATE temporal_properties SET value = '{"x":   1}'""")
    async with sql.transaction():
        await entity(sql, "user", "never")
        await sql.execute("UPDATE entities SET type = 'nobody' WHERE reference = 'never'")
        await sql.execute("DELETE FROM entities WHERE reference = 'never'")
    events = await pipeline.events(changes=12, events=2 + 4)
    mine = [h["event_type"] for h, b in events if b["data"].get("reference") == "u-1"]
    assert mine == ["entity_created", "temporal_data_created"]
    never = [h["event_type"] for h, b in events if b["data"].get("reference") == "never"]
    assert sorted(never) == ["entity_created", "entity_created", "entity_deleted", "entity_deleted"]


async def test_sources_of_properties_stay_in_the_database(pipeline: Pipeline, sql: Connection) -> None:
    user = await entity(sql, "user", "u-1")
    await sql.execute(
        """UPDATE entities SET properties = '{"f": {"value": 1}}', sources = '{"f": "1:0:7"}'"""
    )
    # No writer does this; if one did, it would be no event.
    await sql.execute("""UPDATE entities SET sources = '{"f": "1:0:8"}'""")
    await sql.execute("DELETE FROM entities WHERE id = $1", user)
    events = await pipeline.events(changes=4, events=3)
    assert [h["event_type"] for h, _ in events] == [
        "entity_created",
        "entity_properties_updated",
        "entity_deleted",
    ]
    for change in await read(pipeline.broker, pipeline.names.cdc, 4):
        assert b"sources" not in change.value
