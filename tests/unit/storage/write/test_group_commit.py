"""Concurrent requests share a flush, and each keeps an outcome of its own."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import chain

import pytest

from app.core.errors import FatalError, InvalidError, ProfileError, TransientError
from app.core.models import Batch, Changes
from app.core.refusals import RefusedRowsError, deciding
from storage.write.group_commit import SharedWriter
from tests.rows import entity
from tests.unit.app.fakes import FakeWriter, HeldWriter


def batch(*references: str) -> Batch:
    return Batch(entities=[entity(reference) for reference in references])


def refuse_poison(told: Batch) -> None:
    if any(row.reference.startswith("poison") for row in told.entities):
        raise InvalidError("PostgreSQL refuses it.", code="refused")


def flushes(writer: FakeWriter) -> list[list[str]]:
    """The references of each committed batch."""
    return [[row.reference for row in committed.entities] for committed in writer.committed]


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def start(shared: SharedWriter, batches: Sequence[Batch]) -> list[asyncio.Task[Changes]]:
    """One task a request, in order, and time for all of them to wait."""
    tasks = []
    for each in batches:
        tasks.append(asyncio.create_task(shared.write(each)))
        await settle()
    return tasks


async def test_the_first_request_is_written_at_once_and_alone() -> None:
    writer = HeldWriter()
    shared = SharedWriter(writer, max_rows=100)
    (task,) = await start(shared, [batch("a")])
    assert writer.under_way == 1
    writer.gate.set()
    assert await task == Changes(position=1)
    assert flushes(writer) == [["a"]]


async def test_what_comes_during_a_flush_shares_the_next() -> None:
    writer = HeldWriter()
    shared = SharedWriter(writer, max_rows=100, flushes=1)
    asked = [batch(f"u{n}") for n in range(10)]
    tasks = await start(shared, asked)
    assert writer.under_way == 1
    writer.gate.set()
    assert await asyncio.gather(*tasks) == [Changes(position=1)] * 10
    assert flushes(writer) == [["u0"], [f"u{n}" for n in range(1, 10)]]
    assert asked == [batch(f"u{n}") for n in range(10)]  # callers' batches stay theirs


async def test_no_more_flushes_than_told_are_under_way() -> None:
    writer = HeldWriter()
    shared = SharedWriter(writer, max_rows=100, flushes=3)
    tasks = await start(shared, [batch(f"u{n}") for n in range(10)])
    assert writer.under_way == 3
    writer.gate.set()
    await asyncio.gather(*tasks)
    assert flushes(writer)[:3] == [["u0"], ["u1"], ["u2"]]
    assert list(chain(*flushes(writer)[3:])) == [f"u{n}" for n in range(3, 10)]


async def test_a_flush_holds_so_many_rows_and_a_larger_request_goes_alone() -> None:
    writer = HeldWriter()
    shared = SharedWriter(writer, max_rows=4, flushes=1)
    asked = [batch("first"), batch("a", "b"), batch("c", "d"), batch("e"), batch(*"123456"), batch("f")]
    tasks = await start(shared, asked)
    writer.gate.set()
    await asyncio.gather(*tasks)
    assert flushes(writer) == [["first"], [*"abcd"], ["e"], [*"123456"], ["f"]]


@pytest.mark.parametrize("places", [(0,), (48,), (24,), (0, 48), (10, 11, 12, 30), tuple(range(49))])
async def test_only_the_guilty_requests_are_refused(places: tuple[int, ...]) -> None:
    writer = HeldWriter(refuse_poison)
    shared = SharedWriter(writer, max_rows=1000, flushes=1)
    names = [f"poison{n}" if n in places else f"u{n:02d}" for n in range(49)]
    # Rows of one request stay together, whichever of them is refused.
    tasks = await start(shared, [batch("first"), *(batch(f"x-{name}", name) for name in names)])
    writer.gate.set()
    outcomes = (await asyncio.gather(*tasks, return_exceptions=True))[1:]
    assert [n for n, outcome in enumerate(outcomes) if isinstance(outcome, InvalidError)] == list(places)
    assert all(isinstance(outcome, InvalidError | Changes) for outcome in outcomes)
    good = [name for name in names if not name.startswith("poison")]
    assert sorted(chain(*flushes(writer)[1:])) == sorted(good + [f"x-{name}" for name in good])
    assert writer.attempts <= 2 + 2 * 6 * len(places)


async def test_a_request_that_is_refused_alone_is_written_once() -> None:
    writer = FakeWriter(refuse_poison)
    with pytest.raises(InvalidError):
        await SharedWriter(writer, max_rows=100).write(batch("poison"))
    assert writer.attempts == 1


@pytest.mark.parametrize(
    "error", [TransientError("lost"), FatalError("no schema"), TimeoutError(), ValueError("a defect")]
)
async def test_what_is_nobodys_fault_goes_to_all_that_shared(error: Exception) -> None:
    def fail(told: Batch) -> None:
        if len(told) > 1:
            raise error

    writer = HeldWriter(fail)
    shared = SharedWriter(writer, max_rows=5, flushes=1)
    tasks = await start(shared, [batch(f"u{n}") for n in range(7)])
    writer.gate.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert outcomes == [Changes(position=1), *[error] * 5, Changes(position=1)]
    assert writer.attempts == 3


async def test_a_failure_while_the_guilty_are_sought_goes_to_that_part_alone() -> None:
    def fail(told: Batch) -> None:
        refuse_poison(told)
        if "u0" in {row.reference for row in told.entities}:
            raise TransientError("lost")

    writer = HeldWriter(fail)
    shared = SharedWriter(writer, max_rows=100, flushes=1)
    tasks = await start(shared, [batch(name) for name in ("first", "u0", "u1", "poison", "u2")])
    writer.gate.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [
        Changes,
        TransientError,
        TransientError,
        InvalidError,
        Changes,
    ]


async def test_a_cancelled_caller_takes_the_flush_from_nobody() -> None:
    writer = HeldWriter()
    shared = SharedWriter(writer, max_rows=100, flushes=1)
    first, *rest = await start(shared, [batch(f"u{n}") for n in range(3)])
    writer.gate.set()
    await first
    writer.gate.clear()
    await settle()
    rest[0].cancel()
    await settle()
    assert (rest[0].cancelled(), writer.cancelled, writer.under_way) == (True, 0, 1)
    writer.gate.set()
    assert await rest[1] == Changes(position=1)
    assert flushes(writer) == [["u0"], ["u1", "u2"]]


async def test_a_caller_that_is_cancelled_while_it_waits_writes_nothing() -> None:
    writer = HeldWriter()
    shared = SharedWriter(writer, max_rows=2, flushes=1)
    tasks = await start(shared, [batch(f"u{n}") for n in range(4)])
    tasks[1].cancel()
    writer.gate.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert flushes(writer) == [["u0"], ["u2", "u3"]]


async def test_a_flush_that_nobody_waits_for_any_more_makes_room() -> None:
    writer = HeldWriter()
    shared = SharedWriter(writer, max_rows=100, flushes=1)
    hung, waiting = await start(shared, [batch("hung"), batch("b")])
    hung.cancel()
    await settle()
    assert (writer.cancelled, writer.under_way) == (1, 1)
    writer.gate.set()
    assert await waiting == Changes(position=1)
    assert flushes(writer) == [["b"]]


async def test_a_caller_that_is_cancelled_before_its_flush_began_leaves_the_place_free() -> None:
    writer = FakeWriter()
    shared = SharedWriter(writer, max_rows=100, flushes=1)
    task = asyncio.create_task(shared.write(batch("a")))
    await asyncio.sleep(0)
    task.cancel()
    await settle()
    assert await asyncio.wait_for(shared.write(batch("b")), 1) == Changes(position=1)
    assert flushes(writer) == [["b"]]


async def test_a_cancelled_flush_leaves_no_caller_waiting() -> None:
    class Cancelled(FakeWriter):
        async def write(self, batch: Batch) -> Changes:
            raise asyncio.CancelledError

    with pytest.raises(ProfileError, match="given up"):
        await asyncio.wait_for(SharedWriter(Cancelled(), max_rows=100).write(batch("a")), 1)


async def test_closing_waits_until_all_that_was_accepted_is_written() -> None:
    writer = HeldWriter()
    shared = SharedWriter(writer, max_rows=2, flushes=1)
    tasks = await start(shared, [batch(f"u{n}") for n in range(6)])
    closing = asyncio.create_task(shared.close())
    await settle()
    assert not closing.done()
    writer.gate.set()
    await closing
    assert sorted(chain(*flushes(writer))) == [f"u{n}" for n in range(6)]
    await asyncio.gather(*tasks)


async def test_closing_an_idle_writer_ends_at_once() -> None:
    inner = FakeWriter()
    await asyncio.wait_for(SharedWriter(inner, max_rows=1).close(), 30)
    assert flushes(inner) == []


async def test_the_clock_is_the_other_writers() -> None:
    assert await SharedWriter(FakeWriter(), max_rows=1).now() == datetime(2025, 1, 15, tzinfo=UTC)


def refuse_poison_by_name(told: Batch, *, shares_room: bool = False) -> None:
    named = {
        deciding(row): InvalidError("PostgreSQL refuses it.", code="refused")
        for row in told.entities
        if row.reference.startswith("poison")
    }
    if named:
        raise RefusedRowsError(named, shares_room=shares_room)


@pytest.mark.parametrize(("shares_room", "attempts"), [(False, 3), (True, 3 + 40)])
async def test_requests_that_a_refusal_names_are_set_aside_at_once(
    *, shares_room: bool, attempts: int
) -> None:
    writer = HeldWriter(partial(refuse_poison_by_name, shares_room=shares_room))
    shared = SharedWriter(writer, max_rows=1_000, flushes=1)
    names = [f"poison{n}" if n % 2 else f"u{n}" for n in range(80)]
    tasks = await start(shared, [batch("first"), *map(batch, names)])
    writer.gate.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    refused = [isinstance(outcome, InvalidError) for outcome in outcomes[1:]]
    assert refused == [name.startswith("poison") for name in names]
    # The first one, the refused batch, and the innocent; where room was shared, each of the others alone.
    assert writer.attempts == attempts
    assert flushes(writer) == [["first"], [name for name in names if name.startswith("u")]]
