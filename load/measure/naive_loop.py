"""The naive way: a getmany loop and one upsert for each row, sent with executemany in a transaction of the fetch.

Run in a process of its own by `bench-ingest`, as `python -m load.measure.naive_loop <role>`. It has the same rules
(newer date wins), and neither comparison, staging, fold nor invalidation. It writes to the same tables. Ends on
SIGTERM.
"""

import sys
from typing import Any, Final

import asyncpg
import uvloop

from app.config.settings import Role, Settings
from app.core.models import Batch
from load.measure.bare_loop import DECODERS, fetches

_ENTITY: Final = "INSERT INTO entities (type, reference) VALUES ($1, $2) ON CONFLICT DO NOTHING"
_PROPERTY: Final = """
INSERT INTO entities AS e (type, reference, properties)
VALUES ($1, $2, jsonb_build_object($3::text, jsonb_build_object('value', $4::jsonb, 'reference_date', $5::text)))
ON CONFLICT (type, reference) DO UPDATE SET properties = e.properties || excluded.properties, updated_at = now()
WHERE NOT e.properties ? $3 OR e.properties -> $3 ->> 'reference_date' < $5
"""
_EDGE: Final = """
INSERT INTO edges (left_entity_id, right_entity_id, relationship_type)
SELECT l.id, r.id, $5 FROM entities l, entities r
WHERE l.type = $1 AND l.reference = $2 AND r.type = $3 AND r.reference = $4
ON CONFLICT DO NOTHING
"""
_POINT: Final = """
INSERT INTO temporal_properties AS t
    (entity_id, key, granularity, period_start, reference_date, version, value, idempotency_key)
SELECT e.id, $3, $4, $5, $7, $8, $9, concat_ws(':', e.id, $3::text, $4::text, $6::text)
FROM entities e WHERE e.type = $1 AND e.reference = $2
ON CONFLICT (entity_id, key, granularity, period_start) DO UPDATE
SET reference_date = excluded.reference_date, version = excluded.version, value = excluded.value, updated_at = now()
WHERE (excluded.reference_date, excluded.version) > (t.reference_date, t.version)
"""


async def _write(connection: "asyncpg.Connection[Any]", batch: Batch) -> None:
    async with connection.transaction():
        await connection.executemany(_ENTITY, [entity[:2] for entity in batch.entities])
        if batch.properties:
            await connection.executemany(_PROPERTY, [row[:5] for row in batch.properties])
        if batch.edges:
            ends = [(edge.right_type, edge.right_reference) for edge in batch.edges]
            await connection.executemany(_ENTITY, ends)
            await connection.executemany(_EDGE, [edge[:5] for edge in batch.edges])
        if batch.temporal:
            await connection.executemany(_ENTITY, [point[:2] for point in batch.temporal])
            await connection.executemany(_POINT, [row[:9] for row in batch.temporal])


async def consume(role: Role, settings: Settings) -> None:
    """Read for ever."""
    connection = await asyncpg.connect(settings.postgres_dsn.get_secret_value())
    async for consumer, records in fetches(role, settings):
        await _write(connection, DECODERS[role](records))
        await consumer.commit()


if __name__ == "__main__":
    uvloop.run(consume(Role(sys.argv[1]), Settings()))
