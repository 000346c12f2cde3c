"""`postgres`: a world straight into PostgreSQL by COPY, past Kafka and the agents.

For load tests and for trying queries on a filled database. Each writer is one connection; each bulk is one
transaction: COPY into a temp table, then an insert of what is not there yet. What is there is skipped and
never overwritten, so a run can be repeated. The caches hear of it through change data capture only.
"""

import argparse
import asyncio
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING

import asyncpg
import orjson
from tqdm import tqdm

from app.config.settings import Settings
from app.core import dates
from load.errors import LoadError
from load.generate.options import add_world, positive, world
from load.generate.world import Node, Point, World

if TYPE_CHECKING:
    Pool = asyncpg.Pool[asyncpg.Record]
    Connection = asyncpg.pool.PoolConnectionProxy[asyncpg.Record]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A table, how its rows are staged, and how they go from there."""

    name: str
    columns: dict[str, str]  # of the temp table, with their types
    insert: str

    @property
    def staging(self) -> str:
        return f"load_{self.name}"

    @property
    def create_staging(self) -> str:
        columns = ", ".join(f"{name} {kind}" for name, kind in self.columns.items())
        return f"CREATE TEMP TABLE IF NOT EXISTS {self.staging} ({columns}) ON COMMIT DELETE ROWS"


ENTITIES = Target(
    name="entities",
    columns={"type": "text", "reference": "text", "properties": "text"},
    insert="""
        INSERT INTO entities (type, reference, properties)
        SELECT type, reference, properties::jsonb FROM load_entities ORDER BY type, reference
        ON CONFLICT (type, reference) DO NOTHING""",
)
EDGES = Target(
    name="edges",
    columns={
        "left_type": "text",
        "left_reference": "text",
        "right_type": "text",
        "right_reference": "text",
        "relation": "text",
    },
    insert="""
        INSERT INTO edges (left_entity_id, right_entity_id, relationship_type)
        SELECT l.id, r.id, s.relation
        FROM load_edges s
        JOIN entities l ON l.type = s.left_type AND l.reference = s.left_reference
        JOIN entities r ON r.type = s.right_type AND r.reference = s.right_reference
        ORDER BY 1, 2, 3
        ON CONFLICT (left_entity_id, right_entity_id, relationship_type) DO NOTHING""",
)
TEMPORAL = Target(
    name="temporal_properties",
    columns={
        "type": "text",
        "reference": "text",
        "key": "text",
        "granularity": "text",
        "period_start": "timestamptz",
        "period": "text",
        "reference_date": "timestamptz",
        "value": "text",
    },
    insert="""
        INSERT INTO temporal_properties
            (entity_id, key, granularity, period_start, reference_date, value, idempotency_key)
        SELECT e.id, s.key, s.granularity, s.period_start, s.reference_date, s.value::jsonb,
               concat_ws(':', e.id, s.key, s.granularity, s.period)
        FROM load_temporal_properties s
        JOIN entities e ON e.type = s.type AND e.reference = s.reference
        ORDER BY 1, 2, 3, 4
        ON CONFLICT (entity_id, key, granularity, period_start) DO NOTHING""",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_world(parser, users=10_000)
    parser.add_argument("--bulk-size", type=positive, default=500, help="rows of a bulk (default 500)")
    parser.add_argument("--writers", type=positive, default=10, help="connections (default 10)")


def run(args: argparse.Namespace) -> int:
    """Fill the database and print what was inserted and what was there already."""
    return asyncio.run(fill(world(args), Settings(), bulk_size=args.bulk_size, writers=args.writers))


async def fill(data: World, settings: Settings, *, bulk_size: int, writers: int) -> int:
    """Insert the world; the exit code. Raises LoadError where the database is not ready."""
    started = time.monotonic()
    pool = await connect(settings, writers)
    try:
        pace = {"bulk_size": bulk_size, "writers": writers}
        counts = [
            await _load(pool, ENTITIES, map(entity_row, data.nodes()), data.count_nodes(), **pace),
            await _load(pool, EDGES, edge_rows(data.nodes()), None, **pace),
            await _load(pool, TEMPORAL, map(point_row, data.points()), data.count_points(), **pace),
        ]
        await pool.execute("ANALYZE entities, edges, temporal_properties")
    finally:
        await pool.close()
    for target, (given, inserted) in zip((ENTITIES, EDGES, TEMPORAL), counts, strict=True):
        skipped = f", {given - inserted:,} skipped: already there" if given > inserted else ""
        print(f"{target.name:20} {inserted:>9,} inserted{skipped}")
    print(f"done in {time.monotonic() - started:.1f} s")
    if not any(inserted for _, inserted in counts):
        print(f"nothing was new: seed {data.seed} was loaded before; another --seed gives other entities")
    return 0


def entity_row(node: Node) -> tuple[str, str, str]:
    """A row of the staging table of entities, in the stored form of properties."""
    properties = {
        fact.field: {"value": fact.value, "reference_date": dates.to_text(fact.date)} for fact in node.facts
    }
    return node.type, node.reference, orjson.dumps(properties).decode()


def edge_rows(nodes: Iterable[Node]) -> Iterator[tuple[str, str, str, str, str]]:
    """Rows of the staging table of edges."""
    for node in nodes:
        for link in node.links:
            yield node.type, node.reference, link.type, link.reference, link.relation


def point_row(point: Point) -> tuple[str, str, str, str, datetime, str, datetime, str]:
    """A row of the staging table of temporal properties."""
    start, period = dates.period_of(point.period_start, point.granularity)
    return (
        point.type,
        point.reference,
        point.key,
        point.granularity,
        start,
        period,
        point.date,
        point.value,
    )


async def connect(settings: Settings, size: int) -> "Pool":
    """Connections to the primary. Raises LoadError where it does not answer or has no tables yet."""
    try:
        pool = await asyncpg.create_pool(
            settings.postgres_dsn.get_secret_value(),
            min_size=1,
            max_size=size,
            timeout=10,
            command_timeout=120,
        )
    except (OSError, asyncpg.PostgresError) as error:
        raise LoadError(
            f"PostgreSQL does not answer ({error}); start it with `make up`, or set PROFILE_POSTGRES_DSN."
        ) from None
    if await pool.fetchval("SELECT to_regclass('temporal_properties')") is None:
        await pool.close()
        raise LoadError("The database has no tables yet; run `make up`, or `python -m app migrate`, first.")
    return pool


async def _load(
    pool: "Pool",
    target: Target,
    rows: Iterator[tuple[object, ...]],
    total: int | None,
    *,
    bulk_size: int,
    writers: int,
) -> tuple[int, int]:
    """Write all rows with that many writers; returns the rows given and those inserted."""
    given = inserted = 0
    with tqdm(total=total, desc=target.name, unit="row", unit_scale=True, mininterval=0.5) as bar:

        async def write() -> None:
            nonlocal given, inserted
            async with pool.acquire() as connection:
                await connection.execute(target.create_staging)
                while bulk := list(islice(rows, bulk_size)):
                    count = await _write_bulk(connection, target, bulk)
                    given, inserted = given + len(bulk), inserted + count
                    bar.update(len(bulk))

        await asyncio.gather(*(write() for _ in range(writers)))
    return given, inserted


async def _write_bulk(connection: "Connection", target: Target, bulk: list[tuple[object, ...]]) -> int:
    async with connection.transaction():
        await connection.copy_records_to_table(target.staging, records=bulk, columns=list(target.columns))
        status = await connection.execute(target.insert)
    return int(status.rpartition(" ")[2])
