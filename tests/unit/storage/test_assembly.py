"""Trees from fragments, against a naive walk over dictionaries."""

import json
from collections import deque
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from storage.assembly import Tree
from storage.fragments import Fragment

Graph = dict[int, list[tuple[str, int]]]


def fragment(
    node: int, edges: list[tuple[str, int]], temporal: dict[str, list[str]] | None = None
) -> Fragment:
    name = f'{{"id":{node},"type":"t","reference":"r{node}"'
    return Fragment(
        id=node,
        head=f'{name},"properties":{{}}'.encode(),
        stub=f'{name},"repeated":true}}'.encode(),
        edges=[(f'{{"type":"{kind}","entity":'.encode(), target) for kind, target in edges],
        edges_total=len(edges),
        temporal=[
            (f'"{key}":['.encode(), [(date, f'{{"reference_date":"{date}"}}'.encode()) for date in dates])
            for key, dates in (temporal or {}).items()
        ],
        position=0,
        digest=b"",
    )


def build(graph: Graph, root: int, depth: int, budget: int = 10_000) -> dict[str, object] | None:
    fragments = {node: fragment(node, edges) for node, edges in graph.items()}
    tree = Tree(root, depth=depth, budget=budget)
    while not tree.done:
        tree.advance(fragments)
    body = tree.render(fragments, None)
    return None if body is None else json.loads(body)


def naive(graph: Graph, root: int, depth: int) -> dict[str, object]:
    """Breadth first, one queue of (node, level); an entity is expanded where it is met first."""
    first = {
        "id": root,
        "type": "t",
        "reference": f"r{root}",
        "properties": {},
        "edges": [],
        "temporal_data": None,
    }
    seen, queue = {root}, deque([(first, 0)])
    while queue:
        answer, level = queue.popleft()
        if level == depth:
            continue
        for kind, target in graph[answer["id"]]:
            if target not in graph:
                continue
            child = {"id": target, "type": "t", "reference": f"r{target}"}
            if target in seen:
                child["repeated"] = True
            else:
                seen.add(target)
                child |= {"properties": {}, "edges": [], "temporal_data": None}
                queue.append((child, level + 1))
            answer["edges"].append({"type": kind, "entity": child})
    return first


_graphs = st.integers(1, 8).flatmap(
    lambda n: st.fixed_dictionaries(
        {
            node: st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, n)), max_size=5, unique=True)
            for node in range(n)
        }
    )
)


@given(_graphs, st.integers(1, 10))
def test_a_tree_equals_the_naive_walk(graph: Graph, depth: int) -> None:
    """Cycles, shared nodes, several edge types between a pair, and edges to what is gone (node n)."""
    assert build(graph, 0, depth) == naive(graph, 0, depth)


def test_a_root_that_does_not_exist_has_no_tree() -> None:
    assert build({1: []}, 2, 3) is None


def test_a_cycle_ends_and_the_last_level_has_no_edges() -> None:
    graph = {1: [("a", 2)], 2: [("b", 1), ("b", 3)], 3: [("c", 1)]}
    tree = build(graph, 1, 1)
    assert tree["edges"][0]["entity"]["edges"] == []
    tree = build(graph, 1, 3)
    back = tree["edges"][0]["entity"]["edges"][0]["entity"]
    assert back == {"id": 1, "type": "t", "reference": "r1", "repeated": True}


def test_the_budget_cuts_and_says_so() -> None:
    graph: Graph = {0: [("a", i) for i in range(1, 6)]} | {i: [] for i in range(1, 6)}
    tree = build(graph, 0, 3, budget=3)
    assert [edge["entity"]["id"] for edge in tree["edges"]] == [1, 2]
    assert tree["truncated"] == {"edges_total": 5}
    assert "truncated" not in build(graph, 0, 3, budget=6)


def test_a_layered_graph_costs_its_nodes_not_its_paths() -> None:
    layers, width = 10, 10
    graph: Graph = {
        layer * width + i: [("a", (layer + 1) * width + j) for j in range(width)] if layer < layers else []
        for layer in range(layers + 1)
        for i in range(width)
    }
    body = json.dumps(build(graph, 0, 10))
    assert body.count('"repeated"') < layers * width * width  # 10^10 paths would not end


def test_the_period_filters_by_reference_date_and_empty_series_vanish() -> None:
    dates = ["2025-01-01T00:00:00.000000Z", "2025-02-01T00:00:00.000000Z"]
    fragments = {1: fragment(1, [], {"tpv": dates, "old": dates[:1]})}
    tree = Tree(1, depth=1, budget=10)
    while not tree.done:
        tree.advance(fragments)

    def temporal(since: datetime | None) -> object:
        return json.loads(tree.render(fragments, since) or b"")["temporal_data"]

    assert set(temporal(None)) == {"tpv", "old"}
    assert temporal(datetime(2025, 2, 1, tzinfo=UTC)) == {"tpv": [{"reference_date": dates[1]}]}
    assert temporal(datetime(2025, 2, 1, 0, 0, 1, tzinfo=UTC)) is None
