"""What an ingesting agent does with a closed window: decode, write, dead-letter.

Order: the rows are committed, then the dead letters are acknowledged by the broker, then the window counts as
processed. What the store refuses by name is set aside at once, and the rest is written; where it does not know which
rows it refuses, they are found by halving the window. An attempt that fails leaves what it found out to the next one:
what is committed is not written again, and what is refused is published.
"""

from collections.abc import Sequence
from typing import Final, Protocol

from app.core.errors import InvalidError, ProfileError
from app.core.models import Batch, Changes
from app.core.pieces import Pieces
from app.core.records import Record, size_of
from app.core.refusals import RefusedRowsError
from app.dead_letters.policy import DeadLetterPolicy
from app.ingest.verdicts import Verdicts, WindowVerdicts
from app.observability import tracing
from app.observability.metrics import DEAD_LETTERS, ROWS_CHANGED, ROWS_UNCHANGED
from app.ports.dead_letters import DeadLetterSink
from app.ports.writing import ProfileWriter

_MAX_ROWS: Final = 20_000
_NAMED_AT_MOST: Final = 8  # times in a row; a store that names a few each time is asked by halves


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
        *,
        max_rows: int = _MAX_ROWS,
    ) -> None:
        """A transaction ends with the record that brings it to `max_rows` rows."""
        self._decoder = decoder
        self._writer = writer
        self._dead_letters = dead_letters
        self._policy = policy
        self._max_rows = max_rows
        self._verdicts = Verdicts()

    async def process(self, records: Sequence[Record]) -> None:
        window = self._verdicts.of(records)
        try:
            if window.settled:  # by an attempt that failed
                await self._publish(window)
            await self._write_all(window)
            await self._publish(window)
        except BaseException as error:
            self._verdicts.keep(window)
            if window.was_told and isinstance(error, ProfileError):
                await self._publish_despite(window)
            raise
        self._verdicts.forget(records)
        self._policy.judge(window.outcomes, example=window.example)

    async def _publish(self, window: WindowVerdicts) -> None:
        letters = window.unpublished()
        if not letters:
            return
        with tracing.span("dead letters", letters=len(letters)):
            await self._dead_letters.publish(letters)
        window.publish()
        for letter in letters:
            DEAD_LETTERS.labels(letter.topic, letter.error).inc()

    async def _publish_despite(self, window: WindowVerdicts) -> None:
        """Publish what is known though the rest failed, whose error is the one to tell."""
        try:
            await self._publish(window)
        except ProfileError:
            return

    async def _write_all(self, window: WindowVerdicts) -> None:
        batch = Batch()
        indexes: list[int] = []
        async for piece in _pieces(window, range(len(window.records))):
            for number in piece:
                if number in window:
                    continue
                try:
                    self._decoder.add(window.records[number], batch)
                except InvalidError as error:
                    window.refuse(number, error)
                    continue
                indexes.append(number)
                if len(batch) >= self._max_rows:
                    await self._write(window, indexes, batch)
                    batch, indexes = Batch(), []
        if indexes:
            await self._write(window, indexes, batch)

    async def _write(self, window: WindowVerdicts, indexes: list[int], batch: Batch) -> None:
        """Write these records, or set aside which of them are refused and write the others."""
        for _ in range(_NAMED_AT_MOST):
            try:
                _count(batch, await self._writer.write(batch))
            except InvalidError as error:
                left, rest = await self._without_refused(window, indexes, error)
                if len(left) == len(indexes):
                    break
                if not left:
                    return
                indexes, batch = left, rest
            else:
                window.write(indexes)
                return
        middle = len(indexes) // 2
        for half in (indexes[:middle], indexes[middle:]):
            await self._write(window, half, await self._batch_of(window, half))

    async def _without_refused(
        self, window: WindowVerdicts, indexes: list[int], error: InvalidError
    ) -> tuple[list[int], Batch]:
        """Set aside what the error is about; returns the others and their rows, or all where it does not tell."""
        left, rest = list[int](), Batch()
        if len(indexes) == 1:
            window.refuse_by_store(indexes[0], error)
            return left, rest
        if not isinstance(error, RefusedRowsError):
            return indexes, rest
        async for piece in _pieces(window, indexes):
            for index in piece:
                alone = Batch()
                self._decoder.add(window.records[index], alone)
                cause = error.cause_in(alone)
                if cause is None:
                    left.append(index)
                    rest.extend(alone)
                else:
                    window.refuse_by_store(index, cause)
        return left, rest

    async def _batch_of(self, window: WindowVerdicts, indexes: Sequence[int]) -> Batch:
        batch = Batch()
        async for piece in _pieces(window, indexes):
            for index in piece:
                self._decoder.add(window.records[index], batch)
        return batch


def _pieces(window: WindowVerdicts, indexes: Sequence[int]) -> Pieces[int]:
    return Pieces(indexes, size=lambda index: size_of(window.records[index]))


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
