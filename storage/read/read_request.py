"""What one read asks of its trees."""

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from app.core.dates import to_text
from app.core.selection import Selection

Matches = Callable[[str], bool]


class ReadRequest(NamedTuple):
    """`first`: from which date on temporal data is shown, as asked and as far as it is retained; None is all.

    `matches` says of an answer's tag whether the client has it; `selection` None is everything.
    """

    depth: int
    first: datetime | None
    matches: Matches | None = None
    selection: Selection | None = None

    @property
    def since(self) -> bytes | None:
        """`first`, as fragments spell dates."""
        return None if self.first is None else to_text(self.first).encode()

    def is_known(self, etag: str) -> bool:
        """Whether the client has the answer of this tag."""
        return self.matches is not None and self.matches(etag)
