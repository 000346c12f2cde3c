"""Plans of the statements over points, as the service's own sessions make them: each point by its whole key.

A join by the entity alone reads all of its points for each row of a batch; on partitions by time, in each of them. The
planner chose that, or not, as statistics moved. So the statements leave it no choice, whatever they say.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final

import orjson
import pytest

from app.commands.command_stores import as_operator
from app.config.settings import Settings
from app.core.models import Batch, TemporalRow
from load.measure.plans import ExplainedPool, PlanLog
from storage.postgres.pools import open_reader, open_writer
from storage.postgres.queries import query
from storage.postgres.roles import grant_rights
from storage.read import graph_queries
from storage.read.budget import Budget
from storage.write.candidates import candidates, temporal_columns
from tests.rows import point

pytestmark = pytest.mark.integration

KEY: Final = ("entity_id", "key", "granularity", "period_start")
ENTITIES: Final = 40
MONTHS: Final = [datetime(year, month, 1, tzinfo=UTC) for year in (2023, 2024) for month in range(1, 13)]
TOLD_MONTHS: Final = MONTHS[3:6]
POINTS: Final = """
INSERT INTO temporal_properties (entity_id, key, granularity, period_start, reference_date, value, idempotency_key)
SELECT e.id, 'k' || n, 'month', m, m, '1', '' FROM entities e, unnest($1::timestamptz[]) m, generate_series(1, $2) n
WHERE e.reference = ANY ($3::text[])
ON CONFLICT DO NOTHING
"""


class Leaves(PlanLog):
    """Scans of points that ran: the table of each, and the columns that its index is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.scans: list[tuple[str, frozenset[str]]] = []

    def heard(self, _: Any, message: Any) -> None:
        text = str(message)
        if "plan:" in text:
            self.scans += _scans(orjson.loads(text[text.index("{", text.index("plan:")) :])["Plan"])


def _scans(node: dict[str, Any]) -> Iterator[tuple[str, frozenset[str]]]:
    table = node.get("Relation Name", "")
    if table.startswith("temporal_properties") and "Scan" in node["Node Type"] and node["Actual Loops"]:
        condition = node.get("Index Cond") or node.get("Recheck Cond", "")
        yield table, frozenset(name for name in KEY if f"{name} =" in condition)
    for below in node.get("Plans", ()):
        yield from _scans(below)


@pytest.fixture(params=["one table", "months"])
async def layout(request: pytest.FixtureRequest, db: Any) -> str:
    """Points in one table, or partitioned by the month, as an operator of a sharded database may have them."""
    if request.param == "months":
        await db.execute("ALTER TABLE temporal_properties RENAME TO in_one_table")
        await db.execute(
            "CREATE TABLE temporal_properties (LIKE in_one_table INCLUDING DEFAULTS, "
            f"PRIMARY KEY ({', '.join(KEY)})) PARTITION BY RANGE (period_start)"
        )
        for start, end in zip(MONTHS, [*MONTHS[1:], datetime(2025, 1, 1, tzinfo=UTC)], strict=True):
            await db.execute(
                f"CREATE TABLE temporal_properties_{start:%Y%m} PARTITION OF temporal_properties "
                f"FOR VALUES FROM ('{start:%Y-%m-%d}Z') TO ('{end:%Y-%m-%d}Z')"
            )
        assert await grant_rights(db) == []
    return str(request.param)


STATISTICS: Final = {
    "skewed": "SELECT",  # of when one entity had all points
    "fresh": "ANALYZE entities, temporal_properties",
    "none": """
        DELETE FROM pg_statistic WHERE starelid::regclass::text ~ 'entities|temporal_properties';
        UPDATE pg_class SET reltuples = -1, relpages = 0
        WHERE relkind IN ('r', 'p') AND relname ~ '^(entities|temporal_properties)';
    """,
}


@asynccontextmanager
async def pools(settings: Settings) -> AsyncIterator[tuple[ExplainedPool, ExplainedPool, Leaves]]:
    """The writer's and the reader's, with new sessions, and what they did."""
    log = Leaves()
    writer = await open_writer(as_operator(settings))  # auto_explain is for superusers
    reader = await open_reader(settings.postgres_dsn.get_secret_value(), settings, name="plans")
    yield ExplainedPool(writer, log), ExplainedPool(reader, log), log
    await writer.close()
    await reader.close()


def told(value: str) -> list[TemporalRow]:
    return [
        point(f"u{n}", f"k{key}", value, date=month)
        for n in range(1, ENTITIES, 2)
        for key in (1, 2, 9)
        for month in TOLD_MONTHS
    ]


async def test_each_point_is_found_by_its_whole_key_and_a_read_by_its_entity(
    settings: Settings, layout: str, db: Any
) -> None:
    everybody = [f"u{n}" for n in range(1, ENTITIES + 1)]
    await db.execute("INSERT INTO entities (type, reference) SELECT 'user', unnest($1::text[])", everybody)
    await db.execute(POINTS, MONTHS, 40, ["u1"])
    await db.execute("ANALYZE entities, temporal_properties")
    await db.execute(POINTS, MONTHS, 5, everybody)
    ids = [row["id"] for row in await db.fetch("SELECT id FROM entities ORDER BY id LIMIT 10")]
    for known, statement in STATISTICS.items():
        await db.execute(statement)
        async with pools(settings) as (writer, reader, log):
            await _write_and_preview(writer, reader, told("2"))
            assert len(log.scans) >= 3, "the comparison, the merge and the preview"
            assert {columns for _, columns in log.scans} == {frozenset(KEY)}, known
            if layout == "months":
                named = {f"temporal_properties_{month:%Y%m}" for month in TOLD_MONTHS}
                assert {table for table, _ in log.scans} == named, known
            log.scans.clear()
            async with reader.acquire(timeout=5) as connection:
                ask = graph_queries.graph(ids, levels=2, budget=Budget(nodes=100))
                assert await ask(connection, 0) is not None
            assert log.scans
            assert all("entity_id" in columns for _, columns in log.scans), known
    planned = "SELECT proconfig FROM pg_proc WHERE proname = 'read_graph_within'"
    assert "plan_cache_mode=force_generic_plan" in await db.fetchval(planned)


async def _write_and_preview(writer: ExplainedPool, reader: ExplainedPool, rows: list[TemporalRow]) -> None:
    """What a flush and a dry run ask of points; the flush is rolled back."""
    async with writer.acquire(timeout=5) as connection:
        await candidates(connection, Batch(temporal=rows))
        flush = connection.transaction()
        await flush.start()
        await connection.copy_records_to_table(
            "staging_temporal", records=[row[:9] for row in rows], columns=TemporalRow._fields[:9]
        )
        await connection.fetch(query("flush_staged"), True, 1, 1, 1_000_000, [], [], [], [], [], None)
        await flush.rollback()
    async with reader.acquire(timeout=5) as connection, connection.transaction():
        await connection.execute(query("plan_for_these_sizes"))
        await connection.fetch(query("stored_temporal"), *temporal_columns(rows))
