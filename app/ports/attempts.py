"""What is kept of attempts at partitions, so that a record that kills workers is found."""

from typing import NamedTuple, Protocol

from app.core.records import Partition


class Began(NamedTuple):
    """`starts` processes in a row began at this offset; `tries` of them died with `in_hand` alone in process.

    `set_aside`: the records from there on that are dead letters already.
    """

    starts: int
    in_hand: int | None
    tries: int
    set_aside: frozenset[int]


class AttemptLog(Protocol):
    """Durable, for one consumer group. Each call is one round trip, and raises TransientError or FatalError."""

    async def begin(self, partition: Partition, offset: int) -> Began:
        """A process begins to read a partition, at this record."""
        ...

    async def take(self, partition: Partition, offset: int) -> None:
        """The process is about to process this record by itself."""
        ...

    async def outlived(self, partition: Partition) -> None:
        """The process has outlived what was in hand."""
        ...

    async def set_aside(self, partition: Partition, offset: int) -> None:
        """This record is a dead letter; it is passed over until its offset is committed."""
        ...
