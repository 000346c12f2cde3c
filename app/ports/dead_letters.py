"""Where dead letters go, and what operators do with them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from app.core.records import DeadLetter, StoredLetter


class DeadLetterSink(Protocol):
    """Where dead letters go."""

    async def publish(self, letters: Sequence[DeadLetter]) -> None:
        """Return when the broker has acknowledged all of them. Raises TransientError."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterPage:
    """Dead letters that stand, in order; `next_after` is where the next page begins, None on the last one."""

    letters: Sequence[StoredLetter]
    next_after: tuple[int, int] | None = None  # the number of the topic, and an offset of its dead letters


class LetterBox(Protocol):
    """The dead letters. Each call raises TransientError (Kafka does not answer) or BusyError."""

    async def page(self, topic: str | None, *, limit: int, after: tuple[int, int] | None) -> LetterPage:
        """Those of one original topic or of all. Raises InvalidError for a topic that has none."""
        ...

    async def replay(self, letter_id: str) -> str | None:
        """Send the record of `topic/partition/offset` to its topic again, and remove the letter.

        Returns why the letter stays, None where it was replayed. Raises InvalidError where there is no such letter.
        """
        ...
