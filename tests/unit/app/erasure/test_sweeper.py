"""The sweep and the agents' letters, on a ledger and topics in memory."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.core.dates import to_epoch_ms
from app.core.erasure import Named
from app.core.errors import TransientError
from app.core.models import EntityKey
from app.core.records import DeadLetter, StoredLetter
from app.erasure.guarded_sink import ErasureAwareLetters
from app.erasure.sweeper import LetterSweep

ERASED_AT = datetime(2025, 6, 1, tzinfo=UTC)
MARIA = EntityKey("user", "maria")
TOPICS = {"edges": True, "source": False}


@dataclass
class Register:
    """Maria is erased."""

    due: dict[str, datetime] = field(default_factory=lambda: {"maria": ERASED_AT})
    noted: list[tuple[Mapping[str, datetime], Mapping[str, int]]] = field(default_factory=list)

    async def unchecked(self) -> Mapping[str, datetime]:
        return dict(self.due)

    async def erased_among(self, named: Sequence[Named]) -> list[frozenset[str]]:
        return [
            frozenset(["maria"])
            if (MARIA in each.keys or "maria" in each.references) and each.told_at <= ERASED_AT
            else frozenset()
            for each in named
        ]

    async def note_letters(self, checked: Mapping[str, datetime], letters: Mapping[str, int]) -> None:
        self.noted.append((dict(checked), dict(letters)))
        self.due.clear()


@dataclass
class Topics:
    """What lies in the topics, batch by batch."""

    written: dict[str, list[list[tuple[bytes, StoredLetter | None]]]]
    removed: list[tuple[str, bytes]] = field(default_factory=list)
    error: Exception | None = None
    opened: int = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Topics"]:
        self.opened += 1
        yield self

    async def batches(self, topic: str) -> AsyncIterator[Sequence[tuple[bytes, StoredLetter | None]]]:
        for batch in self.written.get(topic, []):
            yield batch

    async def remove_keys(self, topic: str, keys: Sequence[bytes]) -> None:
        if self.error is not None:
            raise self.error
        self.removed += [(topic, key) for key in keys]


def stored(key: str, reference: str, at: datetime = ERASED_AT, **body: Any) -> tuple[bytes, StoredLetter]:
    told = {"type": "user", "reference": reference} | body
    letter = StoredLetter(
        stored_key=key.encode(),
        topic="edges",
        timestamp_ms=to_epoch_ms(at),
        key=None,
        value=json.dumps(told).encode(),
        error="e",
        reason="r",
        headers=(),
    )
    return key.encode(), letter


def sweep_of(register: Register, topics: Topics) -> LetterSweep:
    return LetterSweep(register, topics.open, TOPICS, interval_s=0.01)


async def test_letters_about_the_erased_are_removed_and_counted() -> None:
    later = ERASED_AT + timedelta(milliseconds=1)
    topics = Topics(
        {
            "edges": [
                [stored("a", "maria"), stored("b", "jose"), stored("c", "maria", later)],
                [stored("d", "jose", edges=[{"type": "user", "reference": "maria"}])],
            ],
            "source": [[stored("s", "x", customer_id="maria")]],
        }
    )
    register = Register()
    await sweep_of(register, topics).sweep()
    assert topics.removed == [("edges", b"a"), ("edges", b"d"), ("source", b"s")]
    assert register.noted == [({"maria": ERASED_AT}, {"maria": 3})]


async def test_a_source_text_in_a_typed_topic_names_nobody() -> None:
    topics = Topics({"edges": [[stored("a", "x", customer_id="maria")]]})
    await sweep_of(Register(), topics).sweep()
    assert topics.removed == []


async def test_what_is_removed_already_or_written_again_is_not_removed_again() -> None:
    topics = Topics(
        {"edges": [[stored("a", "maria"), (b"a", None)], [stored("b", "maria")], [stored("b", "jose")]]}
    )
    register = Register()
    await sweep_of(register, topics).sweep()
    assert topics.removed == []
    assert register.noted == [({"maria": ERASED_AT}, {})]


async def test_where_nothing_is_due_kafka_is_not_asked() -> None:
    topics = Topics({})
    await sweep_of(Register(due={}), topics).sweep()
    assert topics.opened == 0


async def test_what_kafka_did_not_take_stays_due_and_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    topics = Topics({"edges": [[stored("a", "maria")]]}, error=TransientError("Kafka is down."))
    register = Register()
    sweep = sweep_of(register, topics)
    running = asyncio.create_task(sweep.run())
    with caplog.at_level(logging.WARNING):
        await sweep.swept(wait_s=5)
        assert register.due
        await sweep.swept(wait_s=5)
    assert len([r for r in caplog.records if "wait for their removal" in r.message]) == 1, "once an outage"
    topics.error = None
    async with asyncio.timeout(5):
        while register.due:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert topics.removed == [("edges", b"a")]
    running.cancel()


async def test_who_waits_does_so_no_longer_than_it_says() -> None:
    sweep = LetterSweep(Register(), Topics({}).open, TOPICS)
    async with asyncio.timeout(5):
        await sweep.swept(wait_s=0.01)  # nobody runs it


@dataclass
class Sent:
    calls: list[tuple[str, list[int]]] = field(default_factory=list)

    async def publish(self, letters: Sequence[DeadLetter]) -> None:
        self.calls.append(("publish", [letter.offset for letter in letters]))

    async def remove(self, letters: Sequence[DeadLetter]) -> None:
        self.calls.append(("remove", [letter.offset for letter in letters]))


def dead(offset: int, reference: str) -> DeadLetter:
    return DeadLetter(
        topic="edges",
        partition=0,
        offset=offset,
        timestamp_ms=to_epoch_ms(ERASED_AT),
        key=f"user:{reference}".encode(),
        value=b"not JSON",
        error="e",
        reason="r",
    )


async def test_agents_take_letters_about_the_erased_back_after_they_published_them() -> None:
    sent = Sent()
    letters = ErasureAwareLetters(sent, Register())
    await letters.publish([dead(1, "jose"), dead(2, "maria")])
    await letters.publish([dead(3, "jose")])
    await letters.publish([])
    assert sent.calls == [("publish", [1, 2]), ("remove", [2]), ("publish", [3])]
