from storage.write import fold
from tests.rows import edge, point, prop, user


def test_drops_what_is_strictly_older_and_keeps_ties_sorted_by_key() -> None:
    rows = [
        prop("b", "f", "1"),
        prop("a", "f", "1", 1),
        prop("a", "f", "2", 1),
        prop("a", "f", "9"),
        prop("a", "f", "1", 1),
    ]
    assert fold.properties(rows) == [prop("a", "f", "1", 1), prop("a", "f", "2", 1), prop("b", "f", "1")]
    points = [
        point("a", "k", "1", version=2),
        point("a", "k", "2", version=1),
        point("a", "k", "3", version=2),
    ]
    assert fold.temporal(points) == [points[0], points[2]]
    assert fold.entities([user("b"), user("a"), user("b")]) == [user("a"), user("b")]


def test_a_plain_edge_is_kept_beside_metadata_only_where_it_is_later() -> None:
    told = edge("a", "b", metadata="1", seconds=5)
    assert fold.edges([edge("a", "b", seconds=3), told, edge("a", "b", metadata="0", seconds=4)]) == [told]
    later = edge("a", "b", seconds=9)
    assert fold.edges([later, told, edge("a", "b", seconds=8)]) == [told, later]
    assert fold.edges([edge("a", "b"), edge("a", "b", seconds=1)]) == [edge("a", "b", seconds=1)]


def test_ten_thousand_ties_take_no_time() -> None:
    rows = [prop("a", "f", str(n)) for n in range(20_000)]
    assert len(fold.properties(rows)) == 20_000
