"""What an agent does with a window of the largest size gives way to the other tasks of the loop."""

import asyncio
from typing import Any, Final

import pytest

from agents.entity_properties import EntityProperties
from app.config.settings import Settings
from app.core.errors import InvalidError
from app.core.models import Batch, Changes
from app.core.pieces import PIECE_BYTES, PIECE_ITEMS
from app.core.refusals import RefusedRowsError, deciding
from app.dead_letters.letter import headers_of
from app.dead_letters.policy import DeadLetterPolicy
from app.dead_letters.sink import KafkaDeadLetters
from app.ingest.processor import IngestProcessor
from app.kafka import producer as durable_producer
from tests.turns import Turns
from tests.unit.app.fakes import FakeRecord
from tests.unit.app.kafka.fake_producer import FakeBatch, FakeProducer

SETTINGS: Final = Settings()
COUNT: Final = SETTINGS.window_max_records
VALUE_BYTES: Final = SETTINGS.window_max_bytes // COUNT


def window(*, refused: bool = False) -> list[Any]:
    body = (
        '{"entity_reference": "u-%d", "entity_type": "user", "field_name": "f", '
        '"reference_date": "2025-01-15T10:30:00Z", "field_value": "%s"}'
    )
    texts = [body % (number, "x" * VALUE_BYTES) for number in range(COUNT)]
    return [
        FakeRecord(value=(b"{" if refused else b"") + text.encode(), offset=number)
        for number, text in enumerate(texts)
    ]


class Decoder:
    def __init__(self, turns: Turns) -> None:
        self._decoder = EntityProperties(SETTINGS)
        self._turns = turns

    def add(self, record: Any, batch: Batch) -> None:
        self._turns.note(size=len(record.value))
        self._decoder.add(record, batch)


class Writer:
    """Refuses every other row by name once, then takes all."""

    def __init__(self) -> None:
        self.rows = 0

    async def write(self, batch: Batch) -> Changes:
        await asyncio.sleep(0)  # as a writer waits for PostgreSQL
        if len(batch) == COUNT:
            reason = InvalidError("Not so.", code="no")
            raise RefusedRowsError(
                {deciding(row): reason for row in batch.properties[::2]}, shares_room=False
            )
        self.rows += len(batch)
        return Changes(position=1)


def processor(turns: Turns, writer: Writer, letters: Any) -> IngestProcessor:
    policy = DeadLetterPolicy(max_ratio=1, min_records=10 * COUNT, max_run=10 * COUNT)
    return IngestProcessor(Decoder(turns), writer, letters, policy)


async def test_decoding_and_setting_refused_rows_aside() -> None:
    writer = Writer()

    class Letters:
        async def publish(self, letters: Any) -> None:
            assert len(letters) == COUNT // 2

    async with Turns() as turns:
        await processor(turns, writer, Letters()).process(window())
    assert (turns.items, writer.rows) == (2 * COUNT, COUNT // 2), (
        "decoded, and once more to find whose rows they are"
    )
    assert turns.most_items <= PIECE_ITEMS
    assert turns.most_bytes <= PIECE_BYTES + 2 * VALUE_BYTES


async def test_dead_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeProducer, "made", [])
    monkeypatch.setattr(FakeProducer, "ends_deliveries", True)
    monkeypatch.setattr(durable_producer, "AIOKafkaProducer", FakeProducer)
    async with Turns() as spelled, Turns() as sent:
        monkeypatch.setattr("app.dead_letters.sink.headers_of", spelled.noting(headers_of))
        monkeypatch.setattr(FakeBatch, "append", sent.noting(FakeBatch.append))
        await processor(Turns(), Writer(), KafkaDeadLetters(["b"])).process(window(refused=True))
    assert spelled.items == COUNT
    assert spelled.most_items <= PIECE_ITEMS
    assert sent.items >= COUNT
    assert sent.most_items <= 2 * PIECE_ITEMS, "each fake batch is full with one: tried twice"
