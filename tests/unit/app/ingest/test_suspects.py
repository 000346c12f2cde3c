"""A record that ends each process which processes it is found and set aside, whatever stands around it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from app.core.clock import SystemClock
from app.core.errors import FatalError, TransientError
from app.core.records import DeadLetter, Partition, Record
from app.core.retry import RetryPolicy
from app.ingest.consumer_loop import ConsumerLoop
from app.ingest.suspects import CODE, DEATHS, STARTS, Suspects, Turns
from app.ingest.window import WindowLimits
from app.ports.attempts import Began
from tests.unit.app.fakes import FakeRecord, Terminated, terminate

RECORDS = 100
KILLER = 41


class Died(BaseException):
    """As SIGKILL: nothing of the process runs after it."""


@dataclass
class Log:
    """What PostgreSQL keeps; it outlives the processes."""

    rows: dict[Partition, tuple[int, int, int | None, int]] = field(default_factory=dict)
    aside: set[int] = field(default_factory=set)
    calls: int = 0
    away: bool = False

    async def begin(self, partition: Partition, offset: int) -> Began:
        self._ask()
        first, starts, in_hand, tries = self.rows.get(partition, (offset, 0, None, 0))
        if first != offset:
            starts = 0
        if in_hand is None or in_hand < offset:
            in_hand, tries = None, 0
        self.rows[partition] = (offset, starts + 1, in_hand, tries)
        past = frozenset(each for each in self.aside if each >= offset)
        return Began(starts=starts + 1, in_hand=in_hand, tries=tries, set_aside=past)

    async def take(self, partition: Partition, offset: int) -> None:
        self._ask()
        first, starts, in_hand, tries = self.rows[partition]
        self.rows[partition] = (first, starts, offset, tries + 1 if in_hand == offset else 1)

    async def outlived(self, partition: Partition) -> None:
        self._ask()
        first, starts, _, _ = self.rows[partition]
        self.rows[partition] = (first, starts, None, 0)

    async def set_aside(self, partition: Partition, offset: int) -> None:
        self.aside.add(offset)
        await self.outlived(partition)

    def _ask(self) -> None:
        self.calls += 1
        if self.away:
            raise TransientError("away")


@dataclass
class Letters:
    published: list[DeadLetter] = field(default_factory=list)

    async def publish(self, letters: Sequence[DeadLetter]) -> None:
        self.published += letters


@dataclass
class Processor:
    """Dies of one record."""

    killers: frozenset[int]
    done: set[int] = field(default_factory=set)
    windows: list[int] = field(default_factory=list)
    error: Exception | None = None

    async def process(self, records: Sequence[Record]) -> None:
        if self.error is not None:
            raise self.error
        if any(record.offset in self.killers for record in records):
            raise Died
        self.windows.append(len(records))
        self.done |= {record.offset for record in records}


@dataclass
class Fetch:
    value: Sequence[Record]
    acked: bool = False

    def ack(self) -> None:
        self.acked = True


class World:
    """A partition, and processes that read it one after the other."""

    def __init__(self, *killers: int) -> None:
        self.log = Log()
        self.letters = Letters()
        self.processor = Processor(frozenset(killers))
        self.committed = 0

    async def process(self, *, size: int = 10) -> bool:
        """Run one process from the committed offset to the end; whether it lived."""
        turns = Turns()
        suspects = Suspects(self.log, self.letters, turns, span=RECORDS)
        loop = ConsumerLoop(
            "test",
            self.processor,
            limits=WindowLimits(max_records=20, max_bytes=1_000_000, linger_s=3600),
            retries=RetryPolicy(attempts=1),
            flush_timeout_s=5,
            clock=SystemClock(),
            terminate=terminate,
            suspects=suspects,
        )
        fetches = [
            Fetch(
                [FakeRecord(offset=offset, value=b"v") for offset in range(start, min(start + size, RECORDS))]
            )
            for start in range(self.committed, RECORDS, size)
        ]
        try:
            for fetch in fetches:
                await loop.add(fetch)
            await loop.drain()
        except Died:
            return False
        assert all(fetch.acked for fetch in fetches)
        self.committed = RECORDS
        return True


async def test_the_record_that_kills_is_set_aside_and_no_other() -> None:
    world = World(KILLER)
    deaths = 0
    while not await world.process():
        deaths += 1
        assert deaths < 10
    assert deaths == STARTS - 1 + DEATHS
    (letter,) = world.letters.published
    assert (letter.offset, letter.error) == (KILLER, CODE)
    assert world.processor.done == set(range(RECORDS)) - {KILLER}


async def test_two_of_them_in_one_fetch_are_both_found() -> None:
    world = World(KILLER, KILLER + 3)
    deaths = 0
    while not await world.process():
        deaths += 1
        assert deaths < 10
    assert deaths == STARTS - 1 + 2 * DEATHS
    assert [letter.offset for letter in world.letters.published] == [KILLER, KILLER + 3]
    assert world.processor.done == set(range(RECORDS)) - {KILLER, KILLER + 3}


async def test_a_well_partition_costs_one_round_trip_and_keeps_its_windows() -> None:
    world = World()
    assert await world.process()
    assert world.log.calls == 1
    assert world.processor.windows == [20] * (RECORDS // 20)


async def test_a_process_that_leaves_for_a_reason_accuses_no_record() -> None:
    world = World()
    world.processor.error = FatalError("too many dead letters")
    for _ in range(STARTS + 2 * DEATHS + 1):
        with pytest.raises(Terminated):
            await world.process()
    world.processor.error = None
    assert await world.process()
    assert world.letters.published == []
    assert world.processor.done == set(range(RECORDS))


async def test_progress_forgives() -> None:
    world = World(95)
    for committed in (0, 10, 20, 30):
        world.committed = committed
        assert not await world.process()
    assert world.letters.published == []
    assert max(starts for _, starts, _, _ in world.log.rows.values()) == 1


async def test_a_log_that_is_away_stops_nothing() -> None:
    world = World()
    world.log.away = True
    assert await world.process()
    assert world.processor.done == set(range(RECORDS))
