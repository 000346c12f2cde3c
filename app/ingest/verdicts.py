"""What attempts at a window found out, kept until the window is done: the next attempt goes on from there."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Final

from app.core.errors import InvalidError
from app.core.records import DeadLetter, Record
from app.dead_letters.letter import dead_letter

Place = tuple[str, int, int]


@dataclass(slots=True)
class _Settled:
    """A record that needs no further attempt: written, or refused, which is what its letter says."""

    letter: DeadLetter | None
    is_published: bool = False


_WRITTEN: Final = _Settled(None)


class Verdicts:
    """Of records of windows that failed, by topic, partition and offset. Bounded by the windows in flight."""

    def __init__(self) -> None:
        self._settled: dict[Place, _Settled] = {}

    def __len__(self) -> int:
        return len(self._settled)

    def of(self, records: Sequence[Record]) -> "WindowVerdicts":
        """What is known of these records."""
        known: dict[int, _Settled] = {}
        if self._settled:
            for index, record in enumerate(records):
                settled = self._settled.get(_place(record))
                if settled is not None:
                    known[index] = settled
        return WindowVerdicts(records, known)

    def keep(self, window: "WindowVerdicts") -> None:
        """The attempt failed: remember what it found out."""
        for index, settled in window.settled.items():
            self._settled[_place(window.records[index])] = settled

    def forget(self, records: Iterable[Record]) -> None:
        """These are done."""
        if self._settled:
            for record in records:
                self._settled.pop(_place(record), None)


@dataclass(slots=True)
class WindowVerdicts:
    """What one attempt knows, by the index of the record."""

    records: Sequence[Record]
    settled: dict[int, _Settled]
    was_told: bool = field(default=False)  # by the store, which took an attempt at writing

    def __contains__(self, index: int) -> bool:
        return index in self.settled

    def refuse(self, index: int, error: InvalidError) -> None:
        self.settled[index] = _Settled(dead_letter(self.records[index], error))

    def refuse_by_store(self, index: int, error: InvalidError) -> None:
        """As `refuse`; to find it out again would cost another attempt."""
        self.was_told = True
        self.refuse(index, error)

    def write(self, indexes: Iterable[int]) -> None:
        """These are committed."""
        self.settled |= dict.fromkeys(indexes, _WRITTEN)

    def unpublished(self) -> list[DeadLetter]:
        """Letters that the broker has not taken yet, in the order of their records."""
        waiting = [
            (index, settled.letter)
            for index, settled in self.settled.items()
            if settled.letter is not None and not settled.is_published
        ]
        return [letter for _, letter in sorted(waiting, key=itemgetter(0))]

    def publish(self) -> None:
        """The broker has them all."""
        for settled in self.settled.values():
            settled.is_published = True

    @property
    def outcomes(self) -> list[bool]:
        """For each record in order whether it was refused."""
        refused = [False] * len(self.records)
        for index in self._refused:
            refused[index] = True
        return refused

    @property
    def example(self) -> str:
        """The reason of the first letter."""
        letter = self.settled[min(self._refused)].letter if self._refused else None
        return "" if letter is None else letter.reason

    @property
    def _refused(self) -> list[int]:
        return [index for index, settled in self.settled.items() if settled.letter is not None]


def _place(record: Record) -> Place:
    return record.topic, record.partition, record.offset
