"""What an ingesting agent does with a closed window: decode, write, dead-letter.

Order: the rows are committed, then the dead letters are acknowledged by the broker, then the window counts as
processed. What PostgreSQL refuses is found by halving the window; its neighbours are written.
"""

from collections.abc import Sequence
from typing import Protocol

from app.core.errors import InvalidError
from app.core.models import Batch, Changes
from app.core.records import DeadLetter, Record
from app.dead_letters.letter import dead_letter
from app.dead_letters.policy import DeadLetterPolicy
from app.observability import tracing
from app.observability.metrics import DEAD_LETTERS, ROWS_CHANGED, ROWS_UNCHANGED
from app.ports.dead_letters import DeadLetterSink
from app.ports.writing import ProfileWriter


class Decoder(Protocol):
    """The pure part of an agent."""

    def add(self, record: Record, batch: Batch) -> None:
        """Add the record's rows to the batch. Raises InvalidError, with the batch as it was."""
        ...


class IngestProcessor:
    """Implements app.ports.processing.RecordProcessor for one of the normalised topics."""

    def __init__(
        self,
        decoder: Decoder,
        writer: ProfileWriter,
        dead_letters: DeadLetterSink,
        policy: DeadLetterPolicy,
    ) -> None:
        self._decoder = decoder
        self._writer = writer
        self._dead_letters = dead_letters
        self._policy = policy

    async def process(self, records: Sequence[Record]) -> None:
        letters: dict[int, DeadLetter] = {}
        batch = Batch()
        good: list[int] = []
        for index, record in enumerate(records):
            try:
                self._decoder.add(record, batch)
                good.append(index)
            except InvalidError as error:
                letters[index] = dead_letter(record, error)
        if good:
            await self._write(records, good, batch, letters)
        if letters:
            with tracing.span("dead letters", letters=len(letters)):
                await self._dead_letters.publish([letters[index] for index in sorted(letters)])
            for letter in letters.values():
                DEAD_LETTERS.labels(letter.topic, letter.error).inc()
        example = letters[min(letters)].reason if letters else ""
        self._policy.judge([index in letters for index in range(len(records))], example=example)

    async def _write(
        self, records: Sequence[Record], indexes: list[int], batch: Batch, letters: dict[int, DeadLetter]
    ) -> None:
        try:
            _count(batch, await self._writer.write(batch))
        except InvalidError as error:
            if len(indexes) == 1:
                letters[indexes[0]] = dead_letter(records[indexes[0]], error)
                return
            middle = len(indexes) // 2
            for half in (indexes[:middle], indexes[middle:]):
                part = Batch()
                for index in half:
                    self._decoder.add(records[index], part)
                await self._write(records, half, part, letters)


def _count(batch: Batch, changes: Changes) -> None:
    # An entity is created by any row that names it, so that it can be changed without having been told as a row.
    told_and_created = len(changes.keys.intersection(row[:2] for row in batch.entities))
    for kind, changed, unchanged in (
        ("entity_created", changes.entities_created, 0),
        ("entity", 0, len(batch.entities) - told_and_created),
        ("property", changes.properties_changed, len(batch.properties) - changes.properties_changed),
        ("edge", changes.edges_changed, len(batch.edges) - changes.edges_changed),
        ("temporal", changes.temporal_changed, len(batch.temporal) - changes.temporal_changed),
    ):
        if changed:
            ROWS_CHANGED.labels(kind).inc(changed)
        if unchanged > 0:
            ROWS_UNCHANGED.labels(kind).inc(unchanged)
