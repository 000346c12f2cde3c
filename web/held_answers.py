"""How much memory large answers may have that their clients have not taken yet.

An answer beyond a piece is written in pieces, and the next one when the client has taken those before, so that the
event loop has its turns. Until the last piece the whole answer is held, for as long as its reader takes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from app.core.errors import BusyError

PIECE_BYTES: Final = 128 * 1024


class HeldAnswers:
    """Of one process: `most` bytes at a time, and one answer at least."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.size_bytes = 0

    def require_room(self, size_bytes: int) -> None:
        """Raise BusyError where one of so many bytes is too much now."""
        if self.size_bytes and self.size_bytes + size_bytes > self._most:
            raise BusyError(
                "Large answers that wait for their readers have all the memory that they may (PROFILE_WEB_HELD_MB); "
                "try again in a moment, or ask for less."
            )

    @property
    def is_over(self) -> bool:
        return self.size_bytes > self._most

    @contextmanager
    def one(self, size_bytes: int) -> Iterator[None]:
        """An answer of so many bytes is held for as long as the context lasts."""
        self.size_bytes += size_bytes
        try:
            yield
        finally:
            self.size_bytes -= size_bytes
