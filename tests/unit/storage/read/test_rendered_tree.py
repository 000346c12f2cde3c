"""A tree that is made anew of newer fragments is the one that a new walk gives."""

from datetime import timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.cache.fragments import Fragment, from_row
from storage.read.budget import Budget
from storage.read.rendered_tree import Skeleton
from storage.read.tree import Tree
from tests.rows import at
from tests.unit.storage.read.test_tree import points, row

GRAPH = {1: [2, 3], 2: [3, 4], 3: [1], 4: []}
DAYS = (0, 1, 2, 5, 9, 20)

_text = st.text(alphabet='a"é{}\\', max_size=12)
_points = st.lists(st.tuples(st.sampled_from("kz"), st.sampled_from((1, 5, 9))), max_size=4, unique=True).map(
    lambda told: points(*[(key, "day", day, str(day)) for key, day in sorted(told)]) if told else {}
)
_contents = st.fixed_dictionaries({node: st.tuples(_text, _points) for node in GRAPH})


def fragment(node: int, text: str, rows: dict[str, Any], targets: list[int], *, position: int) -> Fragment:
    told = row(node, targets, properties=orjson.dumps({"n": {"value": text}}).decode(), **rows)
    return from_row(told, position=position, upper=position + 1, read_at=float(position))  # type: ignore[arg-type]


def fragments_of(
    contents: dict[int, tuple[str, dict[str, Any]]], *, position: int, graph: dict[int, list[int]] = GRAPH
) -> dict[int, Fragment]:
    return {node: fragment(node, *contents[node], graph[node], position=position) for node in graph}


def walked(fragments: dict[int, Fragment], depth: int) -> Skeleton:
    tree = Tree(1, depth=depth, budget=Budget(nodes=100))
    while not tree.done:
        tree.advance(fragments)
    return Skeleton.of(tree, depth=depth)


def told(skeleton: Skeleton) -> list[object]:
    """All that anybody sees of it."""
    days = [None, *(at(0) + timedelta(days=day) for day in DAYS)]
    rows = [skeleton.first_row(day) for day in days]
    return [
        *((skeleton.etag(first), skeleton.body(first)) for first in rows),
        skeleton.items,
        (skeleton.position, skeleton.upper, skeleton.read_at),
        (skeleton.root, skeleton.deepest, skeleton.size_bytes),
        [skeleton.within(depth) for depth in range(5)],
    ]


@given(_contents, _contents, st.sets(st.sampled_from(list(GRAPH))), st.integers(1, 4), st.booleans())
def test_renewed_is_walked_anew(
    before: dict[int, Any], after: dict[int, Any], changed: set[int], depth: int, was_asked: bool
) -> None:
    old = fragments_of(before, position=1)
    new = old | {node: each for node, each in fragments_of(after, position=7).items() if node in changed}
    skeleton = walked(old, depth)
    seen = told(skeleton) if was_asked else []
    renewed = skeleton.renewed([new[node] for node, _ in skeleton.items])
    has_points_where_it_had = all(
        bool(new[node].temporal) == bool(each.temporal) for node, each in skeleton.items
    )
    assert (renewed is not None) == has_points_where_it_had
    if renewed is not None:
        assert told(renewed) == told(walked(new, depth))
        again = renewed.renewed([old[node] for node, _ in renewed.items])
        assert again is not None
        assert told(again) == told(walked(old, depth))
    if was_asked:
        assert told(skeleton) == seen, "the old one is left as it is"


@pytest.mark.parametrize(
    "targets", [[2], [3, 2], [2, 3, 4], []], ids=["less", "another order", "more", "nothing"]
)
def test_who_leads_elsewhere_is_walked(targets: list[int]) -> None:
    contents: dict[int, Any] = dict.fromkeys(GRAPH, ("", {}))
    old = fragments_of(contents, position=1)
    skeleton = walked(old, 3)
    new = old | {1: fragment(1, "", {}, targets, position=2)}
    assert skeleton.renewed([new[node] for node, _ in skeleton.items]) is None


def test_who_shows_less_of_its_edges_than_before_is_walked() -> None:
    contents: dict[int, Any] = dict.fromkeys(GRAPH, ("", {}))
    old = fragments_of(contents, position=1)
    skeleton = walked(old, 3)
    new = old | {1: fragment(1, "", {"edges_total": 9}, GRAPH[1], position=2)}
    assert skeleton.renewed([new[node] for node, _ in skeleton.items]) is None


def test_a_tree_with_an_edge_to_what_is_gone_is_walked() -> None:
    contents: dict[int, Any] = dict.fromkeys(GRAPH, ("", {}))
    old = fragments_of(contents, position=1)
    del old[4]
    skeleton = walked(old, 3)
    assert skeleton.renewed([each for _, each in skeleton.items]) is None


def test_many_changes_are_walked_anew() -> None:
    """Each moves all that stands behind it, so that a thousand of ten thousand would take seconds."""
    graph = {1: list(range(2, 40)), **{node: [] for node in range(2, 40)}}
    contents: dict[int, tuple[str, dict[str, Any]]] = {node: ("a", {}) for node in graph}
    fragments = fragments_of(contents, position=1, graph=graph)
    skeleton = walked(fragments, 3)
    for changed, is_renewed in ((8, True), (9, False)):
        newer = [
            fragment(node, "bb" if 2 <= node < 2 + changed else "a", {}, graph[node], position=2)
            if 2 <= node < 2 + changed
            else found
            for node, found in skeleton.items
        ]
        assert (skeleton.renewed(newer) is not None) is is_renewed
