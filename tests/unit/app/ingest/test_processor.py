from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import pytest
from prometheus_client import REGISTRY

from app.core.errors import FatalError, InvalidError, TransientError
from app.core.models import Batch, Changes, EdgeRow, EntityKey, EntityRow, PropertyRow, TemporalRow
from app.core.records import Record
from app.dead_letters.policy import DeadLetterPolicy
from app.ingest.processor import IngestProcessor
from tests.unit.app.fakes import FakeDeadLetters, FakeRecord, FakeWriter

TOLD_AT: Final = datetime(2025, 1, 15, tzinfo=UTC)


class Words:
    """A record is a word; `bad…` is refused here, `poison…` by the writer."""

    def add(self, record: Record, batch: Batch) -> None:
        assert record.value is not None
        word = record.value.decode()
        if word.startswith("bad"):
            raise InvalidError("It is bad.", code="bad-word", field="word")
        batch.entities.append(EntityKey("word", word))


def refuse_poison(batch: Batch) -> None:
    if any(key.reference.startswith("poison") for key in batch.entities):
        raise InvalidError("PostgreSQL refuses it.", code="refused")


def records(words: Sequence[str]) -> list[FakeRecord]:
    return [
        FakeRecord(value=word.encode(), offset=offset, partition=3, key=b"k")
        for offset, word in enumerate(words)
    ]


def processor(writer: FakeWriter, sink: FakeDeadLetters, *, max_run: int = 1000) -> IngestProcessor:
    policy = DeadLetterPolicy(max_ratio=0.5, min_records=1000, max_run=max_run)
    return IngestProcessor(Words(), writer, sink, policy)


def committed(writer: FakeWriter) -> list[str]:
    return sorted(key.reference for batch in writer.committed for key in batch.entities)


async def test_a_window_is_one_write() -> None:
    writer, sink = FakeWriter(), FakeDeadLetters()
    await processor(writer, sink).process(records(["a", "b", "c"]))
    assert len(writer.committed) == 1
    assert committed(writer) == ["a", "b", "c"]
    assert sink.letters == []


async def test_what_does_not_decode_is_a_dead_letter_with_its_provenance() -> None:
    writer, sink = FakeWriter(), FakeDeadLetters()
    await processor(writer, sink).process(records(["a", "bad", "c"]))
    assert committed(writer) == ["a", "c"]
    (letter,) = sink.letters
    assert (letter.topic, letter.partition, letter.offset) == ("topic", 3, 1)
    assert (letter.key, letter.value, letter.timestamp_ms) == (b"k", b"bad", 1_736_937_000_123)
    assert (letter.error, letter.reason) == ("bad-word", "It is bad.")


@pytest.mark.parametrize("places", [(0,), (99,), (50,), (0, 99), (10, 11, 12, 70)])
async def test_what_postgresql_refuses_is_found_and_its_neighbours_are_written(
    places: tuple[int, ...],
) -> None:
    words = [f"poison{i}" if i in places else f"w{i:02d}" for i in range(100)]
    writer, sink = FakeWriter(refuse_poison), FakeDeadLetters()
    await processor(writer, sink).process(records(words))
    assert committed(writer) == sorted(word for word in words if not word.startswith("poison"))
    assert [letter.offset for letter in sink.letters] == list(places)
    assert {letter.error for letter in sink.letters} == {"refused"}
    assert writer.attempts <= 1 + 2 * 7 * len(places)


async def test_dead_letters_keep_the_order_of_offsets() -> None:
    sink = FakeDeadLetters()
    words = ["poison", "a", "bad", "poison", "b", "bad"]
    await processor(FakeWriter(refuse_poison), sink).process(records(words))
    assert [letter.offset for letter in sink.letters] == [0, 2, 3, 5]


async def test_rows_are_committed_before_dead_letters_are_published() -> None:
    writer = FakeWriter()
    sink = FakeDeadLetters(error=TransientError("The broker does not answer."))
    with pytest.raises(TransientError):
        await processor(writer, sink).process(records(["a", "bad"]))
    assert committed(writer) == ["a"]


async def test_a_failed_write_publishes_nothing() -> None:
    def lose(batch: Batch) -> None:
        raise TransientError("The connection is lost.")

    sink = FakeDeadLetters()
    with pytest.raises(TransientError):
        await processor(FakeWriter(lose), sink).process(records(["a", "bad"]))
    assert sink.letters == []


async def test_a_window_of_bad_records_alone_writes_nothing() -> None:
    writer, sink = FakeWriter(), FakeDeadLetters()
    await processor(writer, sink).process(records(["bad1", "bad2"]))
    assert writer.attempts == 0
    assert len(sink.letters) == 2


async def test_too_many_bad_records_stop_the_worker() -> None:
    with pytest.raises(FatalError, match="5 records in a row"):
        await processor(FakeWriter(), FakeDeadLetters(), max_run=5).process(records(["bad"] * 5))


class EachKind:
    """A record is one row of each kind, about itself."""

    def add(self, record: Record, batch: Batch) -> None:
        assert record.value is not None
        word = record.value.decode()
        if word.startswith("bad"):
            raise InvalidError("It is bad.", code="bad-word", field="word")
        batch.entities.append(EntityRow("word", word, TOLD_AT))
        batch.properties.append(PropertyRow("word", word, "length", "1", "2025", TOLD_AT))
        batch.edges.append(EdgeRow("word", word, "word", "the", "follows", None, TOLD_AT))
        batch.temporal.append(
            TemporalRow("word", word, "seen", "day", TOLD_AT, "2025-01-15", TOLD_AT, 0, "1", TOLD_AT)
        )


def counted(name: str) -> dict[str, float]:
    kinds = ("entity_created", "entity", "property", "edge", "temporal")
    return {kind: REGISTRY.get_sample_value(name, {"kind": kind}) or 0 for kind in kinds}


async def test_rows_are_counted_as_changed_or_unchanged() -> None:
    writer = FakeWriter(
        changes=Changes(
            position=1,
            # `the` was created by an edge, without a row of its own; `b` was there.
            keys=frozenset({EntityKey("word", "a"), EntityKey("word", "the")}),
            entities_created=2,
            properties_changed=1,
            edges_changed=3,
        )
    )
    policy = DeadLetterPolicy(max_ratio=0.5, min_records=1000, max_run=1000)
    changed, unchanged = counted("profile_rows_changed_total"), counted("profile_rows_unchanged_total")
    await IngestProcessor(EachKind(), writer, FakeDeadLetters(), policy).process(
        records(["a", "b", "bad", "b"])
    )
    for kind, changes, nothing in (
        ("entity_created", 2, 0),
        ("entity", 0, 2),
        ("property", 1, 2),
        ("edge", 3, 0),
        ("temporal", 0, 3),
    ):
        assert counted("profile_rows_changed_total")[kind] - changed[kind] == changes, kind
        assert counted("profile_rows_unchanged_total")[kind] - unchanged[kind] == nothing, kind
