"""The sweep and the agents' letters, on a ledger and topics in memory."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.core.dates import to_epoch_ms
from app.core.erasure import Named
from app.core.errors import TransientError
from app.core.models import EntityKey
from app.core.records import DeadLetter, StoredLetter
from app.dead_letters.store import LetterBatch
from app.erasure.guarded_sink import ErasureAwareLetters
from app.erasure.sweeper import LetterSweep

ERASED_AT = datetime(2025, 6, 1, tzinfo=UTC)
MARIA = EntityKey("user", "maria")
TOPICS = {"edges": True, "source": False}


@dataclass
class Register:
    """Maria is erased."""

    due: dict[str, datetime] = field(default_factory=lambda: {"maria": ERASED_AT})
    noted: list[Mapping[str, datetime]] = field(default_factory=list)
    removed: set[tuple[str, str]] = field(default_factory=set)
    left: dict[str, set[str]] = field(default_factory=dict)
    positions: dict[str, int] = field(default_factory=dict)
    anything: bool = True

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
        assert not letters, "they are counted before they are removed"
        self.noted.append(dict(checked))
        for ledger_id in checked:
            self.due.pop(ledger_id)

    async def note_removed(self, about: Mapping[str, Collection[str]]) -> None:
        self.removed |= {(ledger_id, letter) for letter, ids in about.items() for ledger_id in ids}

    async def note_left(self, checked: Mapping[str, datetime], left: Mapping[str, Collection[str]]) -> None:
        assert set(left) <= set(checked)
        self.left = {ledger_id: set(letters) for ledger_id, letters in left.items()}

    async def swept(self) -> Mapping[str, int] | None:
        return dict(self.positions) if self.anything else None

    async def note_swept(self, topic: str, next_offset: int) -> None:
        self.positions[topic] = next_offset

    def count(self, ledger_id: str) -> int:
        return sum(1 for each, _ in self.removed if each == ledger_id)


@dataclass
class Topics:
    """What lies in the topics, batch by batch."""

    written: dict[str, list[list[tuple[bytes, StoredLetter | None]]]]
    removed: list[tuple[str, bytes]] = field(default_factory=list)
    error: Exception | None = None
    read: list[bytes] = field(default_factory=list)
    opened: int = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Topics"]:
        self.opened += 1
        yield self

    async def batches(self, topic: str, *, first: int | None = None) -> AsyncIterator[LetterBatch]:
        offset = 0
        for batch in self.written.get(topic, []):
            read = [each for at, each in enumerate(batch, start=offset) if at >= (first or 0)]
            self.read += [key for key, _ in read]
            offset += len(batch)
            yield LetterBatch(letters=read, next_offset=offset)
        yield LetterBatch(letters=[], next_offset=offset)

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
    assert register.noted == [{"maria": ERASED_AT}]
    assert register.count("maria") == 3


async def test_another_name_of_the_field_is_one_in_every_topic() -> None:
    topics = Topics({"edges": [[stored("a", "x", customer_id="maria"), stored("b", "x", note="mariana")]]})
    await sweep_of(Register(), topics).sweep()
    assert topics.removed == [("edges", b"a")]


async def test_a_reference_of_another_type_is_left_in_a_typed_topic() -> None:
    topics = Topics({"edges": [[stored("a", "maria", type="device")]]})
    await sweep_of(Register(), topics).sweep()
    assert topics.removed == []


async def test_the_reason_and_headers_of_other_programs_name_whom_a_letter_is_about() -> None:
    _, letter = stored("a", "x")
    by_reason = replace(letter, reason="user/maria exceeds PROFILE_MAX_ENTITY_BYTES.")
    by_header = replace(letter, headers=(("dlq.topic", b"maria"), ("origin", b"maria")))
    by_topic = replace(letter, headers=(("dlq.topic", b"maria"),))
    topics = Topics({"edges": [[(b"a", by_reason), (b"b", by_header), (b"c", by_topic)]]})
    await sweep_of(Register(), topics).sweep()
    assert topics.removed == [("edges", b"a"), ("edges", b"b")]


async def test_letters_that_are_written_after_the_sweep_are_removed_too() -> None:
    """Flink and the agents write some later, about records from before."""
    register = Register()
    topics = Topics({"source": [[stored("a", "maria"), stored("b", "jose")]]})
    sweep = sweep_of(register, topics)
    await sweep.sweep()
    topics.written["source"].append([stored("c", "maria"), stored("d", "jose")])
    topics.read.clear()
    await sweep.sweep()
    assert topics.removed == [("source", b"a"), ("source", b"c")]
    assert topics.read == [b"c", b"d"], "what was compared is not read again"
    assert register.count("maria") == 2
    await sweep_of(register, topics).sweep()  # another process
    assert topics.read == [b"c", b"d"]


async def test_an_erasure_during_a_sweep_of_others_counts_its_letters() -> None:
    """Several erasures within seconds: the sweep for one finds the letters of the next ones."""
    register = Register(due={"jose": ERASED_AT})  # maria's commits while the sweep for jose goes on
    topics = Topics({"edges": [[stored("a", "maria"), stored("b", "maria")]]})
    sweep = sweep_of(register, topics)
    await sweep.sweep()
    assert topics.removed == [("edges", b"a"), ("edges", b"b")]
    register.due["maria"] = ERASED_AT
    topics.written = {"edges": [[(b"a", None), (b"b", None)]]}
    await sweep.sweep()
    assert register.count("maria") == 2


async def test_a_letter_counts_once_however_often_its_removal_is_tried() -> None:
    register = Register()
    topics = Topics({"edges": [[stored("a", "maria")]]}, error=TransientError("Kafka is down."))
    for _ in range(2):
        with pytest.raises(TransientError):
            await sweep_of(register, topics).sweep()
    topics.error = None
    await sweep_of(register, topics).sweep()
    assert topics.removed == [("edges", b"a")]
    assert register.count("maria") == 1


async def test_letters_that_may_be_about_the_erased_are_told_and_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    register = Register()

    async def erased_among(named: Sequence[Named]) -> list[frozenset[str]]:
        return [frozenset(["maria"]) if "1" in each.references else frozenset() for each in named]

    monkeypatch.setattr(register, "erased_among", erased_among)
    topics = Topics({"source": [[stored("a", "x", amount=1), stored("b", "y", amount=2)]]})
    await sweep_of(register, topics).sweep()
    assert topics.removed == []
    assert register.left == {"maria": {"a"}}


async def test_a_letter_that_names_too_many_is_told_and_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.erasure.mentions._MAX_NAMES", 50)
    register = Register()
    topics = Topics({"source": [[stored("a", "x", names=[f"user-{n}" for n in range(100)])]]})
    await sweep_of(register, topics).sweep()
    assert register.left == {"maria": {"a"}}


async def test_what_is_removed_already_or_written_again_is_not_removed_again() -> None:
    topics = Topics(
        {"edges": [[stored("a", "maria"), (b"a", None)], [stored("b", "maria")], [stored("b", "jose")]]}
    )
    register = Register()
    await sweep_of(register, topics).sweep()
    assert topics.removed == []
    assert register.noted == [{"maria": ERASED_AT}]
    assert register.count("maria") == 0


async def test_where_nothing_was_ever_erased_kafka_is_not_asked() -> None:
    topics = Topics({})
    await sweep_of(Register(due={}, anything=False), topics).sweep()
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
    topics = Topics({"edges": []})
    sweep = LetterSweep(Register(), topics.open, TOPICS)
    async with asyncio.timeout(5):
        await sweep.swept(wait_s=0.01)  # nobody runs it
    assert topics.removed == []


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
    register = Register()
    letters = ErasureAwareLetters(sent, register)
    await letters.publish([dead(1, "jose"), dead(2, "maria")])
    await letters.publish([dead(3, "jose")])
    await letters.publish([])
    assert sent.calls == [("publish", [1, 2]), ("remove", [2]), ("publish", [3])]
    assert register.removed == {("maria", "edges/0/2")}
