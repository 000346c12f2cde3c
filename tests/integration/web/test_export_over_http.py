"""The export on real stores: everything, and no more of it in memory than a page."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from app.config.settings import Settings
from app.core.models import Batch, PropertyRow, RemovedEdge
from tests.integration.web.serving import Served, serving
from tests.rows import edge, point, prop

pytestmark = pytest.mark.integration


@pytest.fixture
async def served(settings: Settings) -> AsyncIterator[Served]:
    # Retention hides what is old from trees, not from an export.
    async with serving(settings.model_copy(update={"temporal_retention_months": 1})) as served:
        yield served


async def lines(served: Served, entity_id: int) -> list[dict[str, Any]]:
    response = await served.client.get(f"/v1/graph/{entity_id}/export")
    assert response.status == 200
    text = await response.text()
    assert "12345678901234567890.10" in text
    return [json.loads(line) for line in text.splitlines()]


async def test_holds_what_trees_leave_out(served: Served, db: Any) -> None:
    hidden = prop("a", "hidden", "1")
    await served.stores.writer.write(
        Batch(
            properties=[
                prop("a", "f", "12345678901234567890.10"),
                PropertyRow(*hidden[:3], None, *hidden[4:]),
            ],
            edges=[
                edge("a", "b", metadata='{"role": "owner"}'),
                edge("c", "a"),
                edge("a", "a"),
                edge("b", "c"),
                edge("a", "d"),
            ],
            temporal=[
                point("a", "k", "1", date=datetime(1999, 1, 1, tzinfo=UTC)),
                point("a", "k", "2", granularity="year", version=3),
                point("b", "k", "3"),
            ],
        )
    )
    await served.stores.writer.write(Batch(removed_edges=[RemovedEdge("user", "a", "user", "d", "knows")]))
    entity_id = await db.fetchval("SELECT id FROM entities WHERE reference = 'a'")
    found = await lines(served, entity_id)

    assert [line["kind"] for line in found] == [
        "entity",
        *["property"] * 2,
        *["relationship"] * 4,
        *["temporal"] * 2,
        "end",
    ]
    assert found[-1] == {"kind": "end", "lines": 9}
    assert (found[0]["id"], found[0]["reference"]) == (entity_id, "a")
    by_field = {line["field"]: line for line in found if line["kind"] == "property"}
    assert by_field["hidden"] == {
        "kind": "property",
        "field": "hidden",
        "removed": True,
        "reference_date": hidden.reference_date,
    }
    relationships = {
        (line["direction"], line["other_reference"]): line for line in found if line["kind"] == "relationship"
    }
    assert relationships.keys() == {("out", "b"), ("out", "d"), ("self", "a"), ("in", "c")}
    assert relationships["out", "b"]["metadata"] == {"role": "owner"}
    assert relationships["out", "b"]["removed_at"] is None
    assert relationships["out", "d"]["removed_at"] is not None
    points = [(p["granularity"], p["value"], p["version"]) for p in found if p["kind"] == "temporal"]
    assert points == [("month", 1, 0), ("year", 2, 3)]


async def test_many_rows_come_whole(served: Served, db: Any) -> None:
    days = [datetime(2000 + n // 300, 1 + n // 25 % 12, 1 + n % 25, tzinfo=UTC) for n in range(3_000)]
    rows = [point("a", "k", "12345678901234567890.10", granularity="day", date=day) for day in days]
    await served.stores.writer.write(Batch(temporal=rows))
    entity_id = await db.fetchval("SELECT id FROM entities WHERE reference = 'a'")
    found = await lines(served, entity_id)
    assert len(found) == 3_002
    assert found[-1] == {"kind": "end", "lines": 3_001}
    assert len({line["period_start"] for line in found[1:-1]}) == 3_000
