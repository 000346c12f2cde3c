"""Events that name an erased entity are not told any more: their topic has no end, and their bodies hold values.

The ledger is asked about each name, by its keyed hash, at most once a second. What was committed after the erasure is
told; events that have no name, as those of the erasure itself, have no values either.
"""

import asyncio
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from app.core.dates import parse
from app.core.domain_event import DomainEvent
from app.core.erasure import Named
from app.core.errors import InvalidError
from app.core.models import EntityKey
from app.ports.erasure import ErasureRegister

_HOLDS_S: Final = 1.0
_MOST_KNOWN: Final = 20_000
_LONG_AGO: Final = datetime(1, 1, 1, tzinfo=UTC)
_TYPE: Final = re.compile(r"((?:[^\\:]|\\.)*):", re.DOTALL)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_NAMELESS: Final = re.compile(r"entity-[0-9]+")


class _Body(msgspec.Struct, frozen=True):
    event_timestamp: str = ""


_BODY: Final = msgspec.json.Decoder(_Body)


class ErasedEvents:
    """Of one process: what it has asked lately is shared by all streams."""

    def __init__(self, ledger: ErasureRegister) -> None:
        self._ledger = ledger
        self._free: dict[
            str, float
        ] = {}  # subjects that no erasure is about, and when that was so, in the loop's time

    async def among(self, events: Sequence[DomainEvent]) -> set[int]:
        """The places of those that are not to be told. Raises TransientError or FatalError."""
        now = asyncio.get_running_loop().time()
        free, oldest = self._free, now - _HOLDS_S
        names = {subject for event in events for subject in event.subjects}
        unknown = sorted(name for name in names if free.get(name, oldest) <= oldest)
        if not unknown:
            return set()
        if len(free) > _MOST_KNOWN:
            free.clear()
        ever = await self._ledger.erased_among([_names((name,), _LONG_AGO) for name in unknown])
        erased = {name for name, ids in zip(unknown, ever, strict=True) if ids}
        free.update((name, now) for name in unknown if name not in erased)
        suspects = [place for place, event in enumerate(events) if not erased.isdisjoint(event.subjects)]
        if not suspects:
            return set()
        # What was told of who came back afterwards is told.
        found = await self._ledger.erased_among([_named(events[place]) for place in suspects])
        return {place for place, ids in zip(suspects, found, strict=True) if ids}


def _named(event: DomainEvent) -> Named:
    return _names(event.subjects, _told_at(event.body))


def _names(subjects: Sequence[str], told_at: datetime) -> Named:
    keys, references = set(), set()
    for subject in subjects:
        of_type = _TYPE.match(subject)
        if of_type is not None:
            keys.add(EntityKey(_ESCAPED.sub(r"\1", of_type[1]), subject[of_type.end() :]))
        elif not _NAMELESS.fullmatch(subject):
            references.add(subject)
    return Named(keys=frozenset(keys), references=frozenset(references), ids=frozenset(), told_at=told_at)


def _told_at(body: bytes) -> datetime:
    """When it was committed; long ago where it does not say."""
    try:
        return parse(_BODY.decode(body).event_timestamp, field="event_timestamp")
    except (msgspec.MsgspecError, InvalidError, ValueError):
        return _LONG_AGO
