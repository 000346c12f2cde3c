"""Relationships of one entity from either end: pages that lose and repeat nothing, counts, bounded looks."""

import json
import re
from collections import Counter
from typing import Any

import pytest

from app.core.models import Batch, EdgeRow, EntityKey, RemovedEdge
from app.ports.graph import Direction, EdgePlace
from storage.postgres.queries import query
from storage.read import relationships
from storage.stores import Stores
from tests.rows import at, entity, user

pytestmark = pytest.mark.integration

HUB = EntityKey("organization", "hub")


async def id_of(db: Any, key: EntityKey) -> int:
    found: int = await db.fetchval("SELECT id FROM entities WHERE type = $1 AND reference = $2", *key)
    return found


async def all_of(
    stores: Stores, entity_id: int, direction: Direction, *, limit: int = 2, **selected: str | None
) -> tuple[list[dict[str, Any]], int]:
    """The items of all pages, and how many pages there are."""
    found: list[dict[str, Any]] = []
    after: EdgePlace | None = EdgePlace(0, 0)
    pages = 0
    while after is not None:
        page = await stores.relationships.page(
            entity_id,
            direction=direction,
            relationship_type=selected.get("relationship_type"),
            entity_type=selected.get("entity_type"),
            limit=limit,
            after=after,
        )
        assert page is not None
        assert page.answer.body is not None
        items = json.loads(page.answer.body)
        assert len(items) <= limit
        found += items
        after, pages = page.next_after, pages + 1
    return found, pages


def edge(left: EntityKey, right: EntityKey, kind: str, metadata: str | None = None) -> EdgeRow:
    return EdgeRow(*left, *right, kind, metadata, at(1))


@pytest.fixture
async def hub(stores: Stores, db: Any) -> int:
    """Five users lead to the hub in one or two ways, and it leads to two of them; one relationship was removed."""
    members = [user(f"u{number}") for number in range(5)]
    edges = [edge(member, HUB, "member_of", '{"since": 1.50}') for member in members]
    edges += [edge(member, HUB, "owns") for member in members[:2]]
    edges += [edge(HUB, member, "employs") for member in members[3:]]
    edges += [edge(HUB, HUB, "is"), edge(user("gone"), HUB, "member_of")]
    await stores.writer.write(Batch(entities=[entity(member.reference) for member in members], edges=edges))
    await stores.writer.write(Batch(removed_edges=[RemovedEdge(*user("gone"), *HUB, "member_of")]))
    return await id_of(db, HUB)


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
async def test_pages_have_each_relationship_once_in_order(stores: Stores, hub: int, limit: int) -> None:
    found, _ = await all_of(stores, hub, "in", limit=limit)
    names = [(item["entity"]["reference"], item["type"]) for item in found]
    assert len(names) == len(set(names)) == 8
    assert Counter(kind for _, kind in names) == {"member_of": 5, "owns": 2, "is": 1}
    assert [name for name in names if name[1] == "member_of"] == [(f"u{n}", "member_of") for n in range(5)]
    away, _ = await all_of(stores, hub, "out", limit=limit)
    ids = [item["entity"]["id"] for item in away]
    assert ids == sorted(ids)
    assert sorted((item["entity"]["reference"], item["type"]) for item in away) == [
        ("hub", "is"),
        ("u3", "employs"),
        ("u4", "employs"),
    ]


async def test_an_item_has_its_metadata_as_it_was_written(stores: Stores, hub: int) -> None:
    page = await stores.relationships.page(
        hub,
        direction="in",
        relationship_type="member_of",
        entity_type="user",
        limit=1,
        after=EdgePlace(0, 0),
    )
    assert page is not None
    assert page.answer.body is not None
    assert b'"metadata":{"since": 1.50}' in page.answer.body
    (item,) = json.loads(page.answer.body)
    assert item.keys() == {"type", "metadata", "metadata_date", "created_at", "updated_at", "entity"}
    assert item["entity"]["type"] == "user"


async def test_a_selection_is_by_both_types(stores: Stores, hub: int) -> None:
    owners, _ = await all_of(stores, hub, "in", relationship_type="owns")
    assert {item["entity"]["reference"] for item in owners} == {"u0", "u1"}
    organizations, _ = await all_of(stores, hub, "in", entity_type="organization")
    assert [(item["type"], item["entity"]["reference"]) for item in organizations] == [("is", "hub")]
    assert await all_of(stores, hub, "out", relationship_type="owns") == ([], 1)


async def test_a_page_that_selects_looks_at_so_many_and_leads_on(
    stores: Stores, hub: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relationships, "LOOKED_AT", 3)
    found, pages = await all_of(stores, hub, "in", limit=100, relationship_type="is")
    assert [item["type"] for item in found] == ["is"]
    assert pages == 4  # of nine rows, the removed one among them: three pages of three, and what follows


async def test_a_page_ends_early_where_metadata_weighs_much(
    stores: Stores, hub: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relationships, "PAGE_BYTES", 20)
    found, pages = await all_of(stores, hub, "in", limit=100)
    assert len(found) == 8
    assert pages > 2


async def test_counts_are_by_direction_and_types(
    stores: Stores, hub: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def counts() -> Any:
        answer = await stores.relationships.counts(hub)
        assert answer is not None
        assert answer.body is not None
        return json.loads(answer.body)

    assert await counts() == {
        "out": {
            "complete": True,
            "counts": [
                {"type": "employs", "entity_type": "user", "count": 2},
                {"type": "is", "entity_type": "organization", "count": 1},
            ],
        },
        "in": {
            "complete": True,
            "counts": [
                {"type": "is", "entity_type": "organization", "count": 1},
                {"type": "member_of", "entity_type": "user", "count": 5},
                {"type": "owns", "entity_type": "user", "count": 2},
            ],
        },
    }
    monkeypatch.setattr(relationships, "COUNTED", 4)
    found = await counts()
    assert (found["out"]["complete"], found["in"]["complete"]) == (True, False)
    assert sum(each["count"] for each in found["in"]["counts"]) <= 4


async def test_an_entity_without_relationships_is_no_unknown_one(stores: Stores, db: Any) -> None:
    await stores.writer.write(Batch(entities=[entity("alone")]))
    alone = await id_of(db, user("alone"))
    assert await all_of(stores, alone, "in") == ([], 1)
    answer = await stores.relationships.counts(alone)
    assert answer is not None
    assert json.loads(answer.body or b"")["in"] == {"complete": True, "counts": []}
    assert await stores.relationships.counts(alone + 1_000) is None


async def test_an_erased_end_is_not_shown(stores: Stores, hub: int) -> None:
    assert await stores.eraser.erase(user("u0")) is not None
    found, _ = await all_of(stores, hub, "in")
    assert {item["entity"]["reference"] for item in found} == {"hub", "u1", "u2", "u3", "u4"}


@pytest.mark.parametrize("direction", ["in", "out"])
async def test_a_page_goes_by_an_index_and_does_not_sort_a_hub(
    stores: Stores, db: Any, direction: Direction
) -> None:
    hub, aside = user("h"), user("aside")
    others = [user(f"o{number}") for number in range(2_000)]
    edges = [edge(other, hub, "x") if direction == "in" else edge(hub, other, "x") for other in others]
    edges += [edge(other, aside, "x") for other in others] + [edge(aside, other, "x") for other in others]
    await stores.writer.write(Batch(edges=edges))
    await db.execute("ANALYZE edges")
    rows = await db.fetch(
        f"EXPLAIN (ANALYZE, BUFFERS) {query('relationships')}",
        *(await id_of(db, hub), direction, 0, 0, 70, 21, 1 << 20, None, None),
    )
    plan = "\n".join(row[0] for row in rows)
    assert max(map(int, re.findall(r"actual time=\S+ rows=(\d+)", plan))) < 100, plan
    assert not re.findall(r"Rows Removed by (?:Filter|Index Recheck): \d\d+", plan), plan
