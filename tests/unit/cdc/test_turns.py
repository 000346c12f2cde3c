"""What CDC does with a window of the largest size gives way to the other tasks of the loop."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pytest

from app.config.settings import Settings
from app.core.pieces import PIECE_BYTES, PIECE_ITEMS
from app.kafka import producer as durable_producer
from cdc.events import processor
from cdc.events.processor import CdcProcessor
from cdc.events.publisher import KafkaEventSink
from cdc.invalidation import repeater
from cdc.invalidation.repeater import CacheRepeater
from tests.turns import Turns
from tests.unit.app.kafka.fake_producer import FakeBatch, FakeProducer
from tests.unit.cdc import envelopes as e
from tests.unit.cdc.envelopes import FakeRecord
from tests.unit.cdc.fakes import FakeCommitLog, FakeDeadLetters, FakeDirectory, FakeInvalidator

COUNT: Final = Settings().window_max_records
TEXT: Final = "x" * (Settings().window_max_bytes // COUNT // 2)


def window() -> list[FakeRecord]:
    rows = [e.entity(id=n, reference=str(n), properties=f'{{"a": "{TEXT}"}}') for n in range(COUNT)]
    return [
        FakeRecord(value=e.update("entities", row | {"properties": "{}"}, row), offset=n)
        for n, row in enumerate(rows)
    ]


async def test_events_and_their_publication(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeProducer, "made", [])
    monkeypatch.setattr(FakeProducer, "ends_deliveries", True)
    monkeypatch.setattr(durable_producer, "AIOKafkaProducer", FakeProducer)
    records = window()
    async with Turns() as reading, Turns() as making, Turns() as sending:
        monkeypatch.setattr(processor, "decode", reading.noting(processor.decode, len))
        monkeypatch.setattr(processor, "events_of", making.noting(processor.events_of))
        monkeypatch.setattr(FakeBatch, "append", sending.noting(FakeBatch.append))
        await CdcProcessor(
            directory=FakeDirectory(), events=KafkaEventSink(["b"], "events"), dead_letters=FakeDeadLetters()
        ).process(records)  # type: ignore[arg-type]
    assert len(FakeProducer.made[0].sent) == reading.items == making.items == COUNT
    assert max(reading.most_items, making.most_items) <= PIECE_ITEMS
    assert reading.most_bytes <= PIECE_BYTES + max(len(record.value or b"") for record in records)
    assert sending.most_items <= 2 * PIECE_ITEMS, "each fake batch is full with one: tried twice"


async def test_the_repeater_takes_a_few_records_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    left = [FakeRecord(value=e.create("edges", e.edge(left=n)), offset=n) for n in range(2_500)]
    async with Turns() as fetching, Turns() as reading:

        class Consumer:
            stopping = False

            async def start(self) -> None: ...

            async def stop(self) -> None: ...

            async def getmany(self, *, timeout_ms: int, max_records: int) -> Mapping[Any, Sequence[Any]]:
                taken, left[:max_records] = left[:max_records], []
                fetching.note(len(taken))
                return {"p": taken} if taken else {}

            async def commit(self, offsets: Mapping[Any, int]) -> None:
                if not left:
                    asked.append(offsets)
                    made._stopping = True

        asked: list[Mapping[Any, int]] = []
        invalidator = FakeInvalidator()
        monkeypatch.setattr(repeater, "decode", reading.noting(repeater.decode))
        made = CacheRepeater(
            brokers=[],
            topic="cdc",
            group_id="app",
            invalidator=invalidator,
            commit_log=FakeCommitLog(),
            lookups_of=lambda field, value: [],
            consumer=Consumer,
        )
        await made.run()
    assert asked == [{"p": 2_500}]
    assert [len(changes.entities) for changes in invalidator.attempts] == [2_000, 500], (
        "whole batches all the same"
    )
    assert fetching.most_items <= 500
    assert reading.most_items <= PIECE_ITEMS
