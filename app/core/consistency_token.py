"""Consistency tokens (design, section 5, rule 8): a position in the WAL, and of which database it is one.

A client that sends back the token of a write sees that write; one that sends back the last token that it got never
goes back in time, whichever worker answers.
"""

import re
from collections.abc import Callable
from typing import Final

from app.core.errors import InvalidError

HEADER: Final = "Consistency-Token"
_TOKEN: Final = re.compile(r"(\d{1,20})\.(\d{1,10})\.(\d{1,10})-([0-9a-f]{1,16})", re.ASCII)


class Tokens:
    """Spells and reads tokens; `database` is what is true now: `<system identifier>.<timeline>.<database>`."""

    def __init__(self, database: Callable[[], str]) -> None:
        self._database = database

    def spell(self, position: int) -> str:
        return f"{self._database()}-{position:x}"

    def read(self, text: str) -> int | None:
        """The position; None for one of another timeline, which can't be compared. Raises InvalidError."""
        match = _TOKEN.fullmatch(text.strip())
        if match is None:
            raise InvalidError(
                f"{HEADER} is not one of this service's tokens; send the one of an answer as it was.",
                code="unreadable-token",
                field=HEADER,
            )
        system, timeline, name, position = match.groups()
        our_system, our_timeline, our_name = self._database().split(".")
        if (system, name) != (our_system, our_name):
            raise InvalidError(
                f"{HEADER} comes from another database; leave it out once.",
                code="foreign-token",
                field=HEADER,
            )
        return int(position, 16) if timeline == our_timeline else None
