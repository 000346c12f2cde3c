"""Records, a clock, a writer and sinks that tests hold in their hands."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NoReturn

from app.core.models import Batch, Changes
from app.core.records import DeadLetter


@dataclass(frozen=True, kw_only=True)
class FakeRecord:
    value: bytes | None
    topic: str = "topic"
    partition: int = 0
    offset: int = 0
    timestamp: int = 1_736_937_000_123
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes]] = ()


class FakeClock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return datetime(2025, 1, 15, tzinfo=UTC)

    def epoch_s(self) -> float:
        return self.now().timestamp()


@dataclass
class FakeWriter:
    """Keeps what was committed; `refuse` may raise for a batch."""

    refuse: Callable[[Batch], None] = lambda batch: None
    committed: list[Batch] = field(default_factory=list)
    attempts: int = 0
    changes: Changes = field(default_factory=lambda: Changes(position=1))

    async def write(self, batch: Batch) -> Changes:
        self.attempts += 1
        self.refuse(batch)
        self.committed.append(batch)
        return self.changes

    async def now(self) -> datetime:
        return datetime(2025, 1, 15, tzinfo=UTC)


@dataclass
class HeldWriter(FakeWriter):
    """Writes when the test opens the gate."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)
    under_way: int = 0
    cancelled: int = 0

    async def write(self, batch: Batch) -> Changes:
        self.under_way += 1
        try:
            await self.gate.wait()
            return await super().write(batch)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.under_way -= 1


@dataclass
class FakeDeadLetters:
    letters: list[DeadLetter] = field(default_factory=list)
    error: Exception | None = None

    async def publish(self, letters: Sequence[DeadLetter]) -> None:
        if self.error is not None:
            raise self.error
        self.letters.extend(letters)


class Terminated(BaseException):
    """The process would have ended here."""


def terminate(code: int) -> NoReturn:
    raise Terminated(code)
