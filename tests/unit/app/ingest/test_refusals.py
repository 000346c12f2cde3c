"""Refused records that are not few: they are set aside by what the refusal names, and nothing is found out twice."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from app.core.errors import FatalError, InvalidError, TransientError
from app.core.models import Batch, Changes, EntityRow
from app.core.records import Record
from app.core.refusals import RefusedRowsError, deciding
from app.dead_letters.policy import DeadLetterPolicy
from app.ingest.processor import IngestProcessor
from tests.rows import entity
from tests.unit.app.fakes import FakeDeadLetters, FakeRecord, FakeWriter

N = 5_000


class Words:
    """A record is a word; `bad…` is refused here."""

    def add(self, record: Record, batch: Batch) -> None:
        assert record.value is not None
        word = record.value.decode()
        if word.startswith("bad"):
            raise InvalidError("It is bad.", code="bad-word")
        batch.entities.append(entity(word))


def records(words: list[str]) -> list[FakeRecord]:
    return [FakeRecord(value=word.encode(), offset=offset) for offset, word in enumerate(words)]


def is_poison(row: EntityRow) -> bool:
    return row.reference.startswith("poison")


def refuse_by_name(batch: Batch) -> None:
    named = {
        deciding(row): InvalidError("PostgreSQL refuses it.", code="refused")
        for row in batch.entities
        if is_poison(row)
    }
    if named:
        raise RefusedRowsError(named, shares_room=False)


def refuse_blindly(batch: Batch) -> None:
    if any(map(is_poison, batch.entities)):
        raise InvalidError("PostgreSQL refuses it.", code="refused")


@dataclass
class LimitedWriter(FakeWriter):
    """Fails by itself at these attempts, counted from 1."""

    fails_at: frozenset[int] = frozenset()
    failure: Callable[[], Exception | asyncio.CancelledError] = field(
        default=lambda: TransientError("It is away.")
    )

    async def write(self, batch: Batch) -> Changes:
        if self.attempts + 1 in self.fails_at:
            self.attempts += 1
            raise self.failure()
        return await super().write(batch)


def processor(writer: FakeWriter, sink: FakeDeadLetters, **options: int) -> IngestProcessor:
    policy = DeadLetterPolicy(max_ratio=0.5, min_records=1_000, max_run=1_000)
    return IngestProcessor(Words(), writer, sink, policy, **options)


def committed(writer: FakeWriter) -> list[str]:
    return sorted(row.reference for batch in writer.committed for row in batch.entities)


@pytest.mark.parametrize("refused", [1, 250, 2_250])
async def test_what_a_refusal_names_is_set_aside_at_once(refused: int) -> None:
    step = N // refused
    words = [f"poison{n}" if n % step == 0 and n < refused * step else f"w{n}" for n in range(N)]
    writer, sink = FakeWriter(refuse_by_name), FakeDeadLetters()
    await processor(writer, sink).process(records(words))
    assert writer.attempts == 2
    assert committed(writer) == sorted(word for word in words if word.startswith("w"))
    assert [letter.offset for letter in sink.letters] == [
        n for n in range(N) if words[n].startswith("poison")
    ]
    assert len(sink.letters) == refused


async def test_more_than_half_refused_stops_the_worker_once_they_are_published() -> None:
    words = [f"poison{n}" if n % 2 else f"w{n}" for n in range(N)] + ["poison"]
    writer, sink = FakeWriter(refuse_by_name), FakeDeadLetters()
    with pytest.raises(FatalError, match=f"{N // 2 + 1} of the last {N + 1} records"):
        await processor(writer, sink).process(records(words))
    assert len(sink.letters) == N // 2 + 1
    assert len(committed(writer)) == N // 2


async def test_a_store_that_names_a_few_each_time_is_asked_by_halves() -> None:
    def refuse_one(batch: Batch) -> None:
        for row in filter(is_poison, batch.entities):
            raise RefusedRowsError({deciding(row): InvalidError("No.", code="refused")}, shares_room=False)

    writer, sink = FakeWriter(refuse_one), FakeDeadLetters()
    await processor(writer, sink).process(records(["poison" + str(n) for n in range(100)] + ["w"] * 200))
    assert len(sink.letters) == 100
    assert writer.attempts < 150


async def test_an_attempt_goes_on_from_what_the_one_before_found_out() -> None:
    words = [f"poison{n}" if n % 3 == 0 else f"w{n}" for n in range(300)]
    blind = FakeWriter(refuse_blindly)
    await processor(blind, FakeDeadLetters()).process(records(words))
    failing = LimitedWriter(refuse_blindly, fails_at=frozenset({20, 60, 100, 200}))
    sink = FakeDeadLetters()
    agent = processor(failing, sink)
    told = records(words)
    for _ in range(4):
        with pytest.raises(TransientError):
            await agent.process(told)
    await agent.process(told)
    assert committed(failing) == sorted(word for word in words if word.startswith("w")), "each of them once"
    assert sorted(letter.offset for letter in sink.letters) == list(range(0, 300, 3)), "each of them once"
    assert failing.attempts <= 1.5 * blind.attempts
    assert len(agent._verdicts) == 0


async def test_what_is_known_is_published_though_the_rest_fails() -> None:
    writer, sink = LimitedWriter(refuse_by_name, fails_at=frozenset({2})), FakeDeadLetters()
    with pytest.raises(TransientError, match="away"):
        await processor(writer, sink).process(records(["bad", "a", "poison", "b"]))
    assert [letter.offset for letter in sink.letters] == [0, 2]


async def test_an_attempt_that_is_cut_is_published_by_the_next_before_it_writes() -> None:
    writer = LimitedWriter(refuse_by_name, fails_at=frozenset({2, 3}), failure=asyncio.CancelledError)
    sink = FakeDeadLetters()
    agent, told = processor(writer, sink), records(["a", "poison", "b"])
    with pytest.raises(asyncio.CancelledError):
        await agent.process(told)
    assert sink.letters == []
    with pytest.raises(asyncio.CancelledError):
        await agent.process(told)
    assert [letter.offset for letter in sink.letters] == [1]
    await agent.process(told)
    assert (committed(writer), len(sink.letters), writer.attempts) == (["a", "b"], 1, 4)


async def test_the_error_of_the_rest_is_told_where_letters_are_not_taken_either() -> None:
    writer, sink = LimitedWriter(refuse_by_name, fails_at=frozenset({2})), FakeDeadLetters()
    sink.error = TransientError("The broker does not answer.")
    with pytest.raises(TransientError, match="away"):
        await processor(writer, sink).process(records(["a", "poison"]))


async def test_a_window_of_many_rows_is_several_transactions_and_none_is_repeated() -> None:
    writer, sink = LimitedWriter(fails_at=frozenset({3})), FakeDeadLetters()
    agent, told = processor(writer, sink, max_rows=10), records([f"w{n:02d}" for n in range(35)])
    with pytest.raises(TransientError):
        await agent.process(told)
    await agent.process(told)
    assert [len(batch) for batch in writer.committed] == [10, 10, 10, 5]
    assert committed(writer) == [f"w{n:02d}" for n in range(35)]


async def test_a_later_part_of_a_failed_window_keeps_its_verdicts() -> None:
    """The loop tries halves of a window; what was found out of the whole one counts for them."""
    writer, sink = LimitedWriter(refuse_by_name, fails_at=frozenset({2})), FakeDeadLetters()
    agent, told = processor(writer, sink), records(["a", "poison1", "b", "poison2"])
    with pytest.raises(TransientError):
        await agent.process(told)
    await agent.process(told[:2])
    await agent.process(told[2:])
    assert (committed(writer), writer.attempts) == (["a", "b"], 4)
    assert [letter.offset for letter in sink.letters] == [1, 3]
