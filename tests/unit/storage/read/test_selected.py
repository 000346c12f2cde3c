"""Selections cut the same fragments down: what is left is byte for byte what the whole tree has there."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from app.core.dates import to_text
from app.core.selection import Fields, Selection
from storage.cache.fragments import Fragment, from_row
from storage.read.budget import Budget
from storage.read.selected import SelectedTree, choose

BIG = "12345678901234567890.123"
DATES = ["2025-01-01T00:00:00.000000Z", "2025-02-01T00:00:00.000000Z", "2025-03-01T00:00:00.000000Z"]


def fragment(entity_id: int, edges: list[tuple[str, int]], **more: Any) -> Fragment:
    row = {
        "id": entity_id,
        "type": "user",
        "reference": f'u"{entity_id}',
        "properties": f'{{"n": {{"value": {BIG}}}, "a.b": {{"value": "x"}}, "edges": {{"value": [1.0]}}}}',
        "created_at": "2025-01-15T10:30:00.000000Z",
        "updated_at": "2025-01-15T10:30:01.000000Z",
        "types": [kind for kind, _ in edges] or None,
        "targets": [target for _, target in edges] or None,
        "edges_total": len(edges),
        "keys": ["k", "k", "k", "l"],
        "granularities": ["month"] * 4,
        "dates": [*DATES, DATES[2]],
        "points": ["1.50", BIG, "3", "4"],
        "points_total": None,
    } | more
    return from_row(row, position=1, upper=2, read_at=3.0)  # type: ignore[arg-type]


GRAPH = {
    1: fragment(1, [("knows", 2), ("likes", 3)]),
    2: fragment(2, [("knows", 1), ("knows", 9)]),
    3: fragment(3, [("knows", 2)]),
}


def render(selection: Selection, depth: int = 3, since: datetime | None = None) -> Any:
    text = rendered(selection, depth, since)
    return json.loads(text, parse_float=str)


def rendered(selection: Selection, depth: int = 3, since: datetime | None = None) -> str:
    tree = SelectedTree(
        1, depth=depth if selection.follows else 0, budget=Budget(nodes=100), fields=selection.fields
    )
    chosen = {node: choose(found, selection) for node, found in GRAPH.items()}
    while not tree.done:
        tree.advance(chosen)
    body = tree.render(None if since is None else to_text(since).encode())
    assert body is not None
    return body.decode()


def fields(*members: str, properties: tuple[str, ...] = (), series: tuple[str, ...] = ()) -> Selection:
    return Selection(
        fields=Fields(members=frozenset(members), properties=frozenset(properties), series=frozenset(series))
    )


def test_nothing_but_the_name_is_always_there() -> None:
    assert render(fields()) == {"id": 1, "type": "user", "reference": 'u"1'}


@pytest.mark.parametrize("member", ["created_at", "updated_at", "temporal_data", "properties"])
def test_one_member(member: str) -> None:
    whole = render(Selection())
    assert render(fields(member)) == {
        "id": 1,
        "type": "user",
        "reference": 'u"1',
        member: whole[member],
    }


def test_single_properties_keep_every_digit() -> None:
    text = rendered(fields(properties=("n", "edges", "absent")))
    assert f'"n":{{"value": {BIG}}}' in text
    assert json.loads(text)["properties"].keys() == {"n", "edges"}


def test_a_whole_member_wins_over_its_parts() -> None:
    assert render(fields("properties", properties=("n",)))["properties"].keys() == {"n", "a.b", "edges"}


def test_single_series() -> None:
    assert render(fields(series=("l", "absent")))["temporal_data"].keys() == {"l"}
    assert render(fields(series=("absent",)))["temporal_data"] is None


def test_edges_with_names_alone() -> None:
    tree = render(fields("edges"))
    assert tree == {
        "id": 1,
        "type": "user",
        "reference": 'u"1',
        "edges": [
            {
                "type": "knows",
                "entity": {
                    "id": 2,
                    "type": "user",
                    "reference": 'u"2',
                    "edges": [
                        {
                            "type": "knows",
                            "entity": {"id": 1, "type": "user", "reference": 'u"1', "repeated": True},
                        }
                    ],
                },
            },
            {
                "type": "likes",
                "entity": {
                    "id": 3,
                    "type": "user",
                    "reference": 'u"3',
                    "edges": [
                        {
                            "type": "knows",
                            "entity": {"id": 2, "type": "user", "reference": 'u"2', "repeated": True},
                        }
                    ],
                },
            },
        ],
    }


def test_only_these_relationships_are_followed() -> None:
    tree = render(Selection(types=frozenset({"likes"})))
    (likes,) = tree["edges"]
    assert (likes["type"], likes["entity"]["id"], likes["entity"]["edges"]) == ("likes", 3, [])
    assert render(Selection(types=frozenset({"absent"})))["edges"] == []


def test_edges_that_have_no_room_are_never_cut_silently() -> None:
    crowded = fragment(1, [("knows", 2)], edges_total=50)
    for selection in (Selection(types=frozenset({"likes"})), fields("edges")):
        assert choose(crowded, selection).edges_total > len(choose(crowded, selection).edges)
    chosen = {1: choose(crowded, fields("edges"))}
    tree = SelectedTree(1, depth=1, budget=Budget(nodes=10), fields=fields("edges").fields)
    tree.advance(chosen)
    body = tree.render(None)
    assert body is not None
    assert json.loads(body)["truncated"] == {"edges_total": 50}


@pytest.mark.parametrize(
    ("until", "points"),
    [
        (datetime(2024, 12, 31, tzinfo=UTC), None),
        (datetime(2025, 1, 1, tzinfo=UTC), {"k": ["1.50"]}),
        (datetime(2025, 2, 1, tzinfo=UTC), {"k": ["1.50", BIG]}),
        (datetime(2025, 3, 1, tzinfo=UTC), {"k": ["1.50", BIG, 3], "l": [4]}),
    ],
)
def test_points_up_to_a_date_itself_included(until: datetime, points: Any) -> None:
    found = render(Selection(until=until))["temporal_data"]
    assert (found and {key: [point["value"] for point in series] for key, series in found.items()}) == points


def test_from_one_date_to_another() -> None:
    february = datetime(2025, 2, 1, tzinfo=UTC)
    found = render(Selection(until=february), since=february)["temporal_data"]
    assert [point["value"] for point in found["k"]] == [BIG]
    assert render(Selection(until=february), since=datetime(2025, 2, 2, tzinfo=UTC))["temporal_data"] is None


def test_the_whole_selection_is_the_whole_tree() -> None:
    everything = fields("properties", "created_at", "updated_at", "edges", "temporal_data")
    assert render(everything) == render(Selection())


def test_what_is_canonical_tells_selections_apart_and_not_their_order() -> None:
    told = [
        Selection(),
        Selection(types=frozenset()),
        Selection(types=frozenset({"a"})),
        fields(),
        fields("edges"),
        fields(properties=("edges",)),
        fields(series=("edges",)),
        Selection(until=datetime(2025, 1, 1, tzinfo=UTC)),
    ]
    assert len({selection.canonical for selection in told}) == len(told)
    assert fields("edges", "properties").canonical == fields("properties", "edges").canonical
