"""What attempts at a window found out, kept until the window is done: the next attempt goes on from there."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from app.core.errors import InvalidError
from app.core.records import DeadLetter, Record
from app.dead_letters.letter import dead_letter

Place = tuple[str, int, int]


@dataclass(slots=True)
class _Settled:
    """A record that needs no further attempt: written, or refused, which is what its letter says."""

    letter: DeadLetter | None
    is_published: bool = False


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
        for index in indexes:
            self.settled[index] = _Settled(None)

    def unpublished(self) -> list[DeadLetter]:
        """Letters that the broker has not taken yet, in the order of their records."""
        return [
            letter
            for index in sorted(self.settled)
            if (letter := self.settled[index].letter) is not None and not self.settled[index].is_published
        ]

    def publish(self) -> None:
        """The broker has them all."""
        for settled in self.settled.values():
            settled.is_published = True

    @property
    def outcomes(self) -> list[bool]:
        """For each record in order whether it was refused."""
        return [
            (settled := self.settled.get(index)) is not None and settled.letter is not None
            for index in range(len(self.records))
        ]

    @property
    def example(self) -> str:
        """The reason of the first letter."""
        return next(
            (each.letter.reason for _, each in sorted(self.settled.items(), key=_index) if each.letter), ""
        )


def _index(item: tuple[int, _Settled]) -> int:
    return item[0]


def _place(record: Record) -> Place:
    return record.topic, record.partition, record.offset
