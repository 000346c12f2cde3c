"""Whatever is asked for of hubs and meshes, an answer keeps to its budget, or says how to ask for less."""

import json
import random
from typing import Any

import pytest

from app.config.settings import Settings
from load.generate.hostile_reads import KINDS, MOST_BYTES, TYPE, Shape, batches, others, requests
from storage.read import entity_index, graph_queries
from tests.integration.web.serving import serving

pytestmark = pytest.mark.integration

BUDGET = {
    "graph_node_budget": 60,
    "graph_edge_budget": 400,
    "graph_point_budget": 90,
    "graph_byte_budget": 60_000,
    "graph_points_of_entity": 40,
}
SHAPE = Shape(hub=150, mesh=25, fat=4, fat_bytes=9_000, points=70)
SLACK = 10_000  # the root, and what brackets and edges add to what is counted


async def test_every_answer_keeps_to_the_budget(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_queries, "STATEMENT_BYTES", 30_000)
    async with serving(settings.model_copy(update=BUDGET)) as served:
        for batch in batches(SHAPE):
            await served.stores.writer.write(batch)
        monkeypatch.setattr(entity_index, "PAGE_BYTES", 12_000)
        rows: list[Any] = []
        target = "/v1/entities?limit=100"
        while True:
            page = await served.client.get(target)
            text = await page.text()
            assert len(text) <= 12_000 + SLACK + 40_000
            rows += json.loads(text)
            if "next" not in page.links:
                break
            target = str(page.links["next"]["url"].relative())
        assert len(rows) == len({row["id"] for row in rows}) == 1 + SHAPE.hub + SHAPE.mesh + SHAPE.fat
        ids = [[row["id"] for row in rows if row["reference"].startswith(f"{kind}-")] for kind in KINDS]
        assert all(ids)
        assert rows[0]["type"] == TYPE
        refused = cut = 0
        for asked, _ in zip(requests(random.Random(7), ids), range(120), strict=False):
            assert len(asked.target) + len(asked.body or b"") <= MOST_BYTES
            kind = {"Content-Type": "application/json"}
            response = await (
                served.client.get(asked.target)
                if asked.body is None
                else served.client.post(asked.target, data=asked.body, headers=kind)
            )
            text = await response.text()
            if response.status == 422:
                refused += 1
                assert json.loads(text)["code"] == "too-much"
                continue
            assert response.status == 200, (asked.target, text[:300])
            found = json.loads(text)
            trees = found if isinstance(found, list) else [found]
            distinct = list({each["id"]: each for each in trees if each}.values())
            nodes, edges, points = (
                map(sum, zip(*map(counted, distinct), strict=True)) if distinct else (0, 0, 0)
            )
            assert nodes <= BUDGET["graph_node_budget"], asked
            assert edges <= BUDGET["graph_edge_budget"], asked
            assert points <= BUDGET["graph_point_budget"], asked
            assert len(text) <= BUDGET["graph_byte_budget"] + SLACK + 100 * edges, asked
            cut += "truncated" in text
        for asked, _ in zip(others(random.Random(7), ids), range(40), strict=False):
            assert len(asked.target) + len(asked.body or b"") <= MOST_BYTES
            kind = {"Content-Type": "application/json"}
            response = await (
                served.client.get(asked.target)
                if asked.body is None
                else served.client.post(asked.target, data=asked.body, headers=kind)
            )
            text = await response.text()
            assert response.status < 500, (asked.target, text[:300])
            if response.status >= 400:  # a refusal says what and where, and not all of it
                assert len(text) < 4_096, (asked.target, text[:300])
        assert refused > 5
        assert cut > 20


def counted(tree: Any) -> tuple[int, int, int]:
    """Entities that are shown whole, relationships and points."""
    nodes, edges = 1, len(tree.get("edges") or ())
    points = sum(map(len, (tree.get("temporal_data") or {}).values()))
    for edge in tree.get("edges") or ():
        if not edge["entity"].get("repeated"):
            below = counted(edge["entity"])
            nodes, edges, points = nodes + below[0], edges + below[1], points + below[2]
    return nodes, edges, points
