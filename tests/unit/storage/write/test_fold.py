import random

from app.core.models import EdgeRow
from storage.write import fold
from tests.rows import edge, point, prop, user


async def test_drops_what_is_strictly_older_and_keeps_ties() -> None:
    rows = [
        prop("b", "f", "1"),
        prop("a", "f", "1", 1),
        prop("a", "f", "2", 1),
        prop("a", "f", "9"),
        prop("a", "f", "1", 1),
    ]
    assert await fold.properties(rows) == [
        prop("b", "f", "1"),
        prop("a", "f", "1", 1),
        prop("a", "f", "2", 1),
    ]
    points = [
        point("a", "k", "1", version=2),
        point("a", "k", "2", version=1),
        point("a", "k", "3", version=2),
    ]
    assert await fold.temporal(points) == [points[0], points[2]]
    assert await fold.entities([user("b"), user("a"), user("b")]) == [user("b"), user("a")]


async def test_ties_of_what_is_overtaken_go_too() -> None:
    rows = [prop("a", "f", "1"), prop("a", "f", "2"), prop("a", "f", "3", 1), prop("a", "f", "4", 1)]
    assert await fold.properties(rows) == rows[2:]


async def test_a_plain_edge_is_kept_beside_metadata_only_where_it_is_later() -> None:
    told = edge("a", "b", metadata="1", seconds=5)
    rows = [edge("a", "b", seconds=3), told, edge("a", "b", metadata="0", seconds=4)]
    assert await fold.edges(rows) == [told]
    later = edge("a", "b", seconds=9)
    assert await fold.edges([later, told, edge("a", "b", seconds=8)]) == [later, told]
    assert await fold.edges([edge("a", "b"), edge("a", "b", seconds=1)]) == [edge("a", "b", seconds=1)]


async def test_what_is_left_of_edges_is_what_could_win_in_any_order() -> None:
    rng = random.Random(1)
    rows = [
        edge("a", "b", metadata=rng.choice([None, "1", "2"]), seconds=rng.randrange(3)) for _ in range(200)
    ]
    for size in range(1, 9):
        drawn = rng.choices(rows, k=size)
        assert {_told(row) for row in await fold.edges(drawn)} == _could_win(drawn)


def _told(row: EdgeRow) -> tuple[object, ...]:
    return row.metadata, row.told_at


def _could_win(rows: list[EdgeRow]) -> set[tuple[object, ...]]:
    told = [row for row in rows if row.metadata is not None]
    newest = max((row.told_at for row in told), default=None)
    found = {_told(row) for row in told if row.told_at == newest}
    plain = max((row.told_at for row in rows if row.metadata is None), default=None)
    if plain is not None and (newest is None or plain > newest):
        found.add((None, plain))
    return found


async def test_ten_thousand_ties_take_no_time() -> None:
    rows = [prop("a", "f", str(n)) for n in range(20_000)]
    assert len(await fold.properties(rows)) == 20_000
