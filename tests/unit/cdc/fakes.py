"""The ports that the CDC parts need, in memory."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from app.core.errors import TransientError
from app.core.failpoints import Hook, Hooks
from app.core.models import Changes, EntityKey
from app.core.records import DeadLetter, OutgoingEvent, PublishedNote
from tests.unit.cdc.schemas import require_valid


class FakeDirectory:
    def __init__(self, keys: Mapping[int, EntityKey] | None = None) -> None:
        self.keys = dict(keys or {})
        self.asked: list[list[int]] = []

    async def keys_of(self, ids: Sequence[int]) -> Mapping[int, EntityKey]:
        self.asked.append(list(ids))
        return {number: self.keys[number] for number in ids if number in self.keys}

    async def types_of(self, references: Sequence[str]) -> Mapping[str, list[str]]:
        raise NotImplementedError


class FakeSink:
    """Takes events that keep to their schemas."""

    def __init__(self, *, failures: int = 0) -> None:
        self.events: list[OutgoingEvent] = []
        self.notes: dict[str, Any] = {}  # the newest of each key, as a compacted topic keeps them
        self.failures = failures

    async def publish(self, events: Sequence[OutgoingEvent], notes: Sequence[PublishedNote] = ()) -> None:
        if self.failures:
            self.failures -= 1
            raise TransientError("The broker is away.")
        for event in events:
            require_valid(event.value, event.headers)
        self.events.extend(events)
        for key, value in notes:
            if value is None:
                self.notes.pop(key.decode(), None)
            else:
                self.notes[key.decode()] = json.loads(value)

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [json.loads(event.value) for event in self.events]

    @property
    def headers(self) -> list[dict[str, str]]:
        return [headers_of(event) for event in self.events]

    @property
    def kinds(self) -> list[str]:
        return [headers["event_type"] for headers in self.headers]


class FakeDeadLetters:
    def __init__(self) -> None:
        self.letters: list[DeadLetter] = []

    async def publish(self, letters: Sequence[DeadLetter]) -> None:
        self.letters.extend(letters)


class FakeHooks(Hooks):
    """Notes what was done when a place was reached."""

    def __init__(self, look: Callable[[], Any]) -> None:
        super().__init__()
        self._look = look
        self.reached: list[tuple[Hook, Any]] = []

    def waits_at(self, name: Hook) -> bool:
        return True

    async def reach(self, name: Hook) -> None:
        self.reached.append((name, self._look()))


class FakeClock:
    def monotonic(self) -> float:
        return 0.0

    def now(self) -> datetime:
        return datetime(2025, 9, 22, 22, 6, 50, tzinfo=UTC)

    def epoch_s(self) -> float:
        return self.now().timestamp()


class FakeInvalidator:
    def __init__(self, *, refusals: int = 0) -> None:
        self.refusals = refusals
        self.attempts: list[Changes] = []

    @property
    def behind(self) -> bool:
        self.refusals -= 1
        return self.refusals >= 0

    async def submit(self, changes: Changes) -> None:
        self.attempts.append(changes)


class FakeCommitLog:
    def __init__(self, *, position: int = 5000, time_outs: int = 0) -> None:
        self.position = position
        self.time_outs = time_outs
        self.asked: list[list[int]] = []

    async def visible_position(self, xids: Sequence[int], *, timeout_s: float) -> int:
        self.asked.append(list(xids))
        if self.time_outs:
            self.time_outs -= 1
            raise TransientError("Not visible yet.")
        return self.position


def headers_of(event: OutgoingEvent) -> dict[str, str]:
    return {name: value.decode() for name, value in event.headers}
