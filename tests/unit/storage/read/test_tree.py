"""Trees joined from bytes equal those of a naive model on plain objects."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.cache.fragments import Fragment, decode, encode, from_row, visible
from storage.read.budget import Budget
from storage.read.rendered_tree import Skeleton
from storage.read.tree import Tree
from tests.rows import at

Graph = dict[int, list[int]]  # edges by node; a target that is no key is an entity that is gone
BUDGET = 6


def row(entity_id: int, targets: list[int], **more: Any) -> dict[str, Any]:
    return {
        "id": entity_id,
        "type": "user",
        "reference": f"u{entity_id}",
        "properties": '{"n": {"value": 1.0}}',
        "created_at": "2025-01-15T10:30:00.000000Z",
        "updated_at": "2025-01-15T10:30:01.000000Z",
        "types": [f"t{n}" for n, _ in enumerate(targets)] or None,
        "targets": targets or None,
        "edges_total": len(targets),
        "keys": None,
        "granularities": None,
        "dates": None,
        "points": None,
        "points_total": None,
    } | more


def fragment(entity_id: int, targets: list[int], **more: Any) -> Fragment:
    return from_row(row(entity_id, targets, **more), position=1, upper=2, read_at=3.0)  # type: ignore[arg-type]


def render(graph: Graph, root: int, depth: int, budget: int = BUDGET) -> bytes | None:
    fragments = {node: fragment(node, targets) for node, targets in graph.items()}
    tree = Tree(root, depth=depth, budget=Budget(nodes=budget))
    levels = 0
    while not tree.done:
        tree.advance({node: fragments[node] for node in fragments})
        levels += 1
    assert levels <= depth + 1
    if root not in fragments:
        return None
    skeleton = Skeleton.of(tree, depth=depth)
    assert skeleton.deepest is None or skeleton.deepest <= depth
    return skeleton.body(0)


def model(graph: Graph, root: int, depth: int, budget: int = BUDGET) -> Any:
    """Breadth first on objects: expand an entity where it is met first, stubs elsewhere."""
    if root not in graph:
        return None

    def entity(node: int) -> dict[str, Any]:
        return {
            "id": node,
            "type": "user",
            "reference": f"u{node}",
            "properties": {"n": {"value": 1.0}},
            "created_at": "2025-01-15T10:30:00.000000Z",
            "updated_at": "2025-01-15T10:30:01.000000Z",
            "edges": [],
            "temporal_data": None,
        }

    top = entity(root)
    seen, level = {root}, [top]
    for _ in range(depth):
        following = []
        for parent in level:
            targets = graph[parent["id"]]
            for n, target in enumerate(targets):
                if target in seen:
                    if target not in graph:
                        continue
                    child = {"id": target, "type": "user", "reference": f"u{target}", "repeated": True}
                elif len(seen) == budget:
                    parent["truncated"] = {"edges_total": len(targets)}
                    continue
                else:
                    seen.add(target)
                    if target not in graph:
                        continue
                    child = entity(target)
                    following.append(child)
                parent["edges"].append({"type": f"t{n}", "entity": child})
        level = following
    return top


@given(
    graph=st.dictionaries(st.integers(1, 8), st.lists(st.integers(1, 9), max_size=5), max_size=8),
    depth=st.integers(1, 5),
)
def test_equals_the_model(graph: Graph, depth: int) -> None:
    body = render(graph, 1, depth)
    assert (None if body is None else json.loads(body)) == model(graph, 1, depth)


@given(
    graph=st.dictionaries(st.integers(1, 8), st.lists(st.integers(1, 9), max_size=5), min_size=1, max_size=8),
    depth=st.integers(1, 5),
    deeper=st.integers(1, 5),
)
def test_a_complete_tree_serves_each_depth_that_reaches_nothing_more(
    graph: Graph, depth: int, deeper: int
) -> None:
    root = min(graph)
    fragments = {node: fragment(node, targets) for node, targets in graph.items()}
    walks = []
    for levels in (depth, depth + deeper):
        tree = Tree(root, depth=levels, budget=Budget(nodes=BUDGET))
        while not tree.done:
            tree.advance(fragments)
        walks.append(Skeleton.of(tree, depth=levels))
    first, second = walks
    if first.deepest is not None:
        assert second.deepest == first.deepest
        assert (second.body(None), second.etag(0)) == (first.body(None), first.etag(0))
        assert render(graph, root, max(1, first.deepest)) == first.body(None)
    if second.deepest is not None and second.deepest <= depth:
        assert first.body(None) == second.body(None)
    if first.body(None) != second.body(None):
        assert first.etag(0) != second.etag(0)


def test_a_cycle_ends() -> None:
    body = render({1: [2], 2: [1]}, 1, 10)
    assert body is not None
    assert b'{"id":1,"type":"user","reference":"u1","repeated":true}' in body


def test_a_dense_graph_costs_its_nodes_and_edges() -> None:
    nodes = list(range(1, 41))
    body = render(dict.fromkeys(nodes, nodes), 1, 10, budget=1_000)
    assert body is not None
    assert body.count(b'"properties"') == 40
    assert body.count(b'"repeated":true') == 40 * 40 - 39


def points(*rows: tuple[str, str, int, str]) -> dict[str, Any]:
    keys, granularities, days, values = zip(*rows, strict=True)
    dates = [f"2025-01-{day:02}T00:00:00.000000Z" for day in days]
    return {"keys": keys, "granularities": granularities, "dates": dates, "points": values}


@pytest.mark.parametrize(("since", "kept"), [(None, [1, 2, 3]), (-(10**6), [2, 3]), (10**7, None)])
def test_temporal_data_from_a_date_on(since: int | None, kept: list[int] | None) -> None:
    rows = points(("k", "day", 1, "1"), ("k", "day", 5, "2"), ("z", "month", 9, "3"))
    tree = Tree(1, depth=1, budget=Budget(nodes=9))
    fragments = {1: fragment(1, [], **rows)}
    tree.advance(fragments)
    skeleton = Skeleton.of(tree, depth=1)
    body = skeleton.body(skeleton.first_row(None if since is None else at(since)))
    found = json.loads(body)["temporal_data"]
    if kept is None:
        assert found is None
    else:
        assert [p["value"] for series in found.values() for p in series] == kept


def test_numbers_pass_through_as_they_are() -> None:
    digits = '{"n": {"value": 12345678901234567890.1230}}'
    tree = Tree(1, depth=1, budget=Budget(nodes=9))
    fragments = {1: fragment(1, [], properties=digits)}
    tree.advance(fragments)
    body = Skeleton.of(tree, depth=1).body(0)
    assert b"12345678901234567890.1230" in body


def test_fragments_survive_the_cache_and_foreign_bytes_are_no_fragment() -> None:
    original = fragment(1, [2, 3], **points(("k", "day", 1, "1")))
    assert decode(encode(original)) == original
    assert decode(b"\x00not one") is None


def test_the_digest_is_over_the_content_alone() -> None:
    one = from_row(row(1, [2]), position=1, upper=2, read_at=3.0)  # type: ignore[arg-type]
    later = from_row(row(1, [2]), position=9, upper=10, read_at=4.0)  # type: ignore[arg-type]
    assert (one.digest, one.position) == (later.digest, 1)
    assert fragment(1, [3]).digest != one.digest
    assert fragment(1, [2], **points(("k", "day", 1, "1"))).digest != one.digest


REMOVED = '{"removed": true, "reference_date": "2025-01-01T00:00:00.000000Z"}'


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ('{"a": {"value": 1.0}}', b'{"a": {"value": 1.0}}'),
        (f'{{"a": {REMOVED}}}', b"{}"),
        (
            f'{{"a": {REMOVED}, "b": {{"value": 12345678901234567890.10, "reference_date": "d"}}}}',
            b'{"b":{"value": 12345678901234567890.10, "reference_date": "d"}}',
        ),
        # Within a value, and as a text, it is a value.
        (f'{{"a": {{"value": {REMOVED}}}}}', f'{{"a":{{"value": {REMOVED}}}}}'.encode()),
    ],
)
def test_removed_properties_are_not_shown(stored: str, shown: bytes) -> None:
    assert visible(stored) == shown
