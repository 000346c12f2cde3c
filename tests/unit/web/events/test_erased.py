"""Events that name an erased entity are not told; those of its later life are."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from app.config.settings import Settings
from app.core.domain_event import DomainEvent, gone, subject_of
from app.core.erasure import Named
from app.core.errors import TransientError
from app.core.models import EntityKey
from tests.unit.web.fakes import World
from tests.unit.web.routes.test_events import following
from web.application import build
from web.events.erased import ErasedEvents

ERASED_AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
BEFORE, AFTER = "2026-01-01T11:59:59.999Z", "2026-01-01T12:00:00.001Z"


class Ledger:
    """Of the keys and bare references that were erased then."""

    def __init__(self, *names: EntityKey | str) -> None:
        self.erased: Mapping[object, datetime] = dict.fromkeys(names, ERASED_AT)
        self.asked: list[Sequence[Named]] = []
        self.error: Exception | None = None

    async def erased_among(self, named: Sequence[Named]) -> list[frozenset[str]]:
        self.asked.append(named)
        if self.error is not None:
            raise self.error
        return [
            frozenset(
                str(name)
                for name in (*each.keys, *each.references)
                if name in self.erased and each.told_at <= self.erased[name]
            )
            for each in named
        ]

    unchecked: Any = None
    note_letters: Any = None


def event(*subjects: str, at: str = BEFORE, offset: int = 0) -> DomainEvent:
    body = b'{"event_timestamp": "%b", "data": {"n": 1}}' % at.encode()
    return DomainEvent(partition=0, offset=offset, type="entity_created", subjects=subjects, body=body)


@pytest.mark.parametrize(
    ("subjects", "at", "erased"),
    [
        (("user:a",), BEFORE, True),
        (("user:a",), AFTER, False),
        (("user:b",), BEFORE, False),
        (("user:b", "user:a"), BEFORE, True),  # a relationship of which one end was erased
        (("user:b", "r:1"), BEFORE, True),
        (("bare",), BEFORE, True),
        ((subject_of("ty:pe", "x:y"),), BEFORE, True),
        ((gone(7),), BEFORE, False),  # it has no values
        (("user:a",), "nonsense", True),
    ],
)
async def test_which_are_not_told(subjects: tuple[str, ...], at: str, erased: bool) -> None:
    ledger = Ledger(EntityKey("user", "a"), EntityKey("ty:pe", "x:y"), EntityKey("r", "1"), "bare")
    events = ErasedEvents(ledger)
    told = [event("user:z"), event(*subjects, at=at)]
    for _ in range(2):
        assert await events.among(told) == ({1} if erased else set())


async def test_a_name_is_asked_about_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(EntityKey("user", "a"))
    events = ErasedEvents(ledger)
    for _ in range(5):
        assert await events.among([event("user:b"), event("user:c")]) == set()
    assert len(ledger.asked) == 1
    monkeypatch.setattr("web.events.erased._HOLDS_S", 0.0)
    ledger.erased = {EntityKey("user", "b"): ERASED_AT}
    assert await events.among([event("user:b"), event("user:c")]) == {0}


async def test_a_stream_from_the_beginning_leaves_them_out(aiohttp_client: Any, world: World) -> None:
    ledger = Ledger(EntityKey("user", "a"))
    services = world.services()
    object.__setattr__(services, "erased_events", ErasedEvents(ledger))
    client = await aiohttp_client(build(services, Settings(_env_file=None)))
    async with following(client) as stream:
        start = stream.last_id
    for number, subject in enumerate(["user:b", "user:a", "user:b"]):
        world.topic.tell(number, subjects=(subject,), body=b'{"n": %d}' % number)
    async with following(client, f"/v1/events?last_event_id={start}") as stream:
        assert await stream.numbers(2) == [0, 2]
        again = b'{"n": 9, "event_timestamp": "%b"}' % AFTER.encode()
        world.topic.tell(9, subjects=("user:a",), body=again)
        assert await stream.numbers(1) == [9]
    async with following(client, f"/v1/events?entity=user:a&last_event_id={start}") as stream:
        assert await stream.numbers(1) == [9]
    ledger.error = TransientError("The ledger is away.")
    async with following(client, f"/v1/events?last_event_id={start}") as stream:
        assert [text for text in await stream.comments() if "not available" in text]
