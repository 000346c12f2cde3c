"""Which record kills workers, so that it can be set aside: a crash, no memory, a loop that never ends.

A process that dies says nothing. So each one notes from where it begins to read a partition: one round trip for each
partition and process. Where several in a row began at the same offset without a commit, the next one processes the
partition's records one by one, each noted before (and nothing else at the same time, in the whole process). The record
in hand when such a process dies has killed it; the process after the second such death sets it aside.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from app.core.errors import FatalError, InvalidError, TransientError
from app.core.log_events import LogEvent
from app.core.records import Partition, Record
from app.dead_letters.letter import dead_letter
from app.observability.metrics import DEAD_LETTERS
from app.ports.attempts import AttemptLog
from app.ports.dead_letters import DeadLetterSink

logger = logging.getLogger(__name__)

CODE: Final = "kills-workers"
STARTS: Final = 3  # the third in a row at one offset looks closer
DEATHS: Final = 2  # by one record


class Turns:
    """Of all loops of a process: many flushes at the same time, or one record by itself."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()  # in the order of asking
        self._suspected = 0
        self._flushes = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @asynccontextmanager
    async def flush(self) -> AsyncIterator[None]:
        """Beside other flushes, or in turn with single records while there are any."""
        if self._suspected:
            async with self._turn:
                yield
            return
        self._flushes += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._flushes -= 1
            if not self._flushes:
                self._idle.set()

    @asynccontextmanager
    async def suspected(self) -> AsyncIterator[None]:
        """Single records come: flushes that begin now take turns."""
        self._suspected += 1
        try:
            yield
        finally:
            self._suspected -= 1

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Beside nothing."""
        async with self._turn:
            await self._idle.wait()
            yield


@dataclass(slots=True)
class Suspicion:
    """Of a partition: records before `until` are processed one by one; `in_hand` killed `tries` processes."""

    until: int
    in_hand: int | None
    tries: int
    set_aside: frozenset[int]

    def is_past(self, record: Record) -> bool:
        """A dead letter already, by a process that did not come to commit it."""
        return record.offset in self.set_aside

    def condemns(self, record: Record) -> bool:
        return record.offset == self.in_hand and self.tries >= DEATHS

    def was_outlived(self, record: Record) -> bool:
        """By a process that went on to the record in hand."""
        return self.in_hand is not None and record.offset < self.in_hand


class Suspects:
    """What one loop knows of its partitions. `span` is how many records a process may have had in work when it died."""

    def __init__(self, log: AttemptLog, dead_letters: DeadLetterSink, turns: Turns, *, span: int) -> None:
        self._log = log
        self._dead_letters = dead_letters
        self.turns = turns
        self._span = span
        self._known: dict[tuple[str, int], Suspicion | None] = {}

    async def of(self, records: Sequence[Record]) -> Suspicion | None:
        """Whether records of one partition are to be processed one by one. From memory, but for a partition's first."""
        first = records[0]
        partition = (first.topic, first.partition)
        try:
            found = self._known[partition]
        except KeyError:
            found = await self._begin(Partition(*partition), first.offset)
        if found is not None and first.offset >= found.until:
            found = self._known[partition] = None
        return found

    async def _begin(self, partition: Partition, offset: int) -> Suspicion | None:
        try:
            began = await self._log.begin(partition, offset)
        except TransientError:
            return None  # the next fetch asks again
        except FatalError as error:
            logger.warning("Attempts at %s/%d are not counted: %s", *partition, error)
            self._known[partition] = None
            return None
        found = None
        if began.starts >= STARTS or began.in_hand is not None or began.set_aside:
            until = max(
                offset + self._span, (began.in_hand or 0) + 1, *(past + 1 for past in began.set_aside)
            )
            found = Suspicion(
                until=until, in_hand=began.in_hand, tries=began.tries, set_aside=began.set_aside
            )
            logger.warning(
                "%s/%d is read from %d for the %d. time without a commit: until %d its records are processed one by "
                "one.",
                *partition,
                offset,
                began.starts,
                until,
                extra=LogEvent.PARTITION_SUSPECTED.extra,
            )
        self._known[partition] = found
        return found

    async def take(self, record: Record) -> None:
        """Note a record before it is processed. Raises TransientError or FatalError."""
        await self._log.take(Partition(record.topic, record.partition), record.offset)

    async def outlived(self, record: Record) -> None:
        """The process has outlived it. Raises TransientError or FatalError."""
        await self._log.outlived(Partition(record.topic, record.partition))

    async def set_aside(self, record: Record) -> None:
        """Return when it is a dead letter, and noted as one. Raises TransientError or FatalError."""
        reason = f"{DEATHS} processes died while they processed this record by itself."
        await self._dead_letters.publish([dead_letter(record, InvalidError(reason, code=CODE))])
        await self._log.set_aside(Partition(record.topic, record.partition), record.offset)
        DEAD_LETTERS.labels(record.topic, CODE).inc()
        logger.error(
            "The record %s/%d/%d is set aside: %s",
            record.topic,
            record.partition,
            record.offset,
            reason,
            extra=LogEvent.RECORD_SET_ASIDE.extra,
        )
