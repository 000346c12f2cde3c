import pytest

from app.core.pieces import PIECE_BYTES, PIECE_ITEMS, Piece, Pieces
from tests.turns import Turns


async def _pieces(pieces: Pieces[int]) -> list[list[int]]:
    return [list(piece) async for piece in pieces]


async def test_all_items_come_in_order_and_no_piece_has_too_many() -> None:
    assert await _pieces(Pieces(range(7), items=3)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert await _pieces(Pieces(range(6), items=3)) == [[0, 1, 2], [3, 4, 5]]
    assert await _pieces(Pieces([], items=3)) == []


async def test_a_piece_ends_with_the_item_that_fills_it() -> None:
    half = PIECE_BYTES // 2
    sizes = [half, half, 1, PIECE_BYTES * 3, half, 1]
    assert await _pieces(Pieces(sizes, size=lambda size: size)) == [sizes[:2], sizes[2:4], sizes[4:]]


async def test_other_tasks_run_between_pieces_and_one_piece_never_suspends() -> None:
    async with Turns() as turns:
        async for piece in Pieces(range(1_000)):
            turns.note(len(piece))
        assert (turns.items, turns.most_items) == (1_000, 100)
    alone = _pieces(Pieces(range(100)))
    with pytest.raises(StopIteration):
        alone.send(None)


def test_a_piece_is_full_by_items_or_by_bytes_and_begins_anew() -> None:
    piece = Piece()
    assert [piece.is_full() for _ in range(2 * PIECE_ITEMS)] == ([False] * (PIECE_ITEMS - 1) + [True]) * 2
    assert [piece.is_full(size) for size in (PIECE_BYTES, 1, PIECE_BYTES, 0)] == [False, True, False, False]
