"""Plans of the statements over points, as the service's own sessions make them: each point by its whole key.

A join by the entity alone reads all of its points for each row of a batch; on partitions by time, in each of them. The
planner chose that, or not, as statistics moved. So the statements leave it no choice, whatever they say.
"""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any, Final

import orjson
import pytest

from app.config.settings import Settings
from app.core.models import Batch, TemporalRow
from load.measure.plans import ExplainedPool, PlanLog
from storage.postgres.pools import open_reader, open_writer
from storage.postgres.queries import query
from storage.read import graph_queries
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
    return str(request.param)


@pytest.fixture(params=["none", "fresh", "skewed"])
async def statistics(request: pytest.FixtureRequest, db: Any, layout: str) -> str:
    """What the planner knows: nothing, the truth, or that one entity has nearly all points and the others none."""
    everybody = [f"u{n}" for n in range(1, ENTITIES + 1)]
    await db.execute("INSERT INTO entities (type, reference) SELECT 'user', unnest($1::text[])", everybody)
    if request.param == "skewed":
        await db.execute(POINTS, MONTHS, 40, ["u1"])
        await db.execute("ANALYZE entities, temporal_properties")
    await db.execute(POINTS, MONTHS, 5, everybody)
    if request.param == "fresh":
        await db.execute("ANALYZE entities, temporal_properties")
    return str(request.param)


@pytest.fixture
async def pools(
    settings: Settings, statistics: str
) -> AsyncIterator[tuple[ExplainedPool, ExplainedPool, Leaves]]:
    """The writer's and the reader's, and what they did."""
    log = Leaves()
    writer = await open_writer(settings)
    reader = await open_reader(settings.postgres_dsn.get_secret_value(), settings, name="plans")
    yield ExplainedPool(writer, log), ExplainedPool(reader, log), log
    writer.terminate()
    reader.terminate()


def told(value: str) -> list[TemporalRow]:
    return [
        point(f"u{n}", f"k{key}", value, date=month)
        for n in range(1, ENTITIES, 2)
        for key in (1, 2, 9)
        for month in TOLD_MONTHS
    ]


async def test_a_batch_finds_each_point_by_its_whole_key(
    pools: tuple[ExplainedPool, ExplainedPool, Leaves], layout: str
) -> None:
    writer, reader, log = pools
    rows = told("2")
    async with writer.acquire(timeout=5) as connection:
        await candidates(connection, Batch(temporal=rows))
        async with connection.transaction():
            await connection.copy_records_to_table(
                "staging_temporal", records=[row[:9] for row in rows], columns=TemporalRow._fields[:9]
            )
            await connection.fetch(query("flush_staged"), True, 1, 1, [], [], [], [], [], None)
    async with reader.acquire(timeout=5) as connection, connection.transaction():
        await connection.execute(query("plan_for_these_sizes"))
        await connection.fetch(query("stored_temporal"), *temporal_columns(rows))
    assert len(log.scans) >= 3, "the comparison, the merge and the preview"
    assert {columns for _, columns in log.scans} == {frozenset(KEY)}
    if layout == "months":
        assert {table for table, _ in log.scans} == {f"temporal_properties_{m:%Y%m}" for m in TOLD_MONTHS}


async def test_a_read_finds_points_by_their_entity_and_is_planned_once(
    pools: tuple[ExplainedPool, ExplainedPool, Leaves], db: Any
) -> None:
    _, reader, log = pools
    ids = [row["id"] for row in await db.fetch("SELECT id FROM entities ORDER BY id LIMIT 10")]
    async with reader.acquire(timeout=5) as connection:
        ask = graph_queries.graph(ids, levels=2, max_nodes=100, max_edges=100)
        for _ in range(2):
            assert await ask(connection, 0) is not None
    assert log.scans
    assert all("entity_id" in columns for _, columns in log.scans)
    planned = "SELECT proconfig FROM pg_proc WHERE proname = 'read_graph'"
    assert "plan_cache_mode=force_generic_plan" in await db.fetchval(planned)
