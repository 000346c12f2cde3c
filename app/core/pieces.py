"""Long steps in pieces, between which the other tasks of the event loop run.

A step that handles a window's records or a batch's rows at once holds the loop for its whole time, and nobody is
answered meanwhile. A piece is as many items as take a millisecond or two, and no more bytes than that.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

T = TypeVar("T")

PIECE_ITEMS: Final = 100  # that cost ten or twenty microseconds each
PIECE_BYTES: Final = 256 * 1024


def _nothing(_: object) -> int:
    return 0


class Pieces(Generic[T]):
    """`async for piece in Pieces(items)`: slices in order; between two of them all tasks that are ready take a turn.

    A piece has at most `items` items, and ends with the item that brings it to PIECE_BYTES by `size`. What is small
    enough for one piece never suspends.
    """

    def __init__(
        self, all_items: Sequence[T], *, items: int = PIECE_ITEMS, size: Callable[[T], int] = _nothing
    ) -> None:
        self._all = all_items
        self._items = items
        self._size = size
        self._at = 0

    def __aiter__(self) -> "Pieces[T]":
        return self

    async def __anext__(self) -> Sequence[T]:
        start = self._at
        if start >= len(self._all):
            raise StopAsyncIteration
        if start:
            await asyncio.sleep(0)
        piece = self._all[start : start + self._items]
        if self._size is not _nothing:
            taken = 0
            for number, item in enumerate(piece, start=1):
                taken += self._size(item)
                if taken >= PIECE_BYTES:
                    piece = piece[:number]
                    break
        self._at = start + len(piece)
        return piece


class Piece:
    """For a loop that knows what an item weighs once it is done: `if piece.is_full(size): await asyncio.sleep(0)`.

    A piece is full with PIECE_ITEMS items, or with more than PIECE_BYTES; the next one begins then.
    """

    def __init__(self) -> None:
        self._items = 0
        self._bytes = 0

    def is_full(self, size: int = 0) -> bool:
        """Add an item of so many bytes."""
        self._items += 1
        self._bytes += size
        if self._items < PIECE_ITEMS and self._bytes <= PIECE_BYTES:
            return False
        self._items = self._bytes = 0
        return True
