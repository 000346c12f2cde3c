"""Removes the dead letters about erased entities, after the erasure committed and for as long as it takes.

What is due stands in the ledger, so neither a crash nor an outage of Kafka loses it. The ledger knows keyed hashes
alone: the letters are read, and those are removed that name somebody who is in it. After an erasure all letters are
read once. Those that are written later, whichever program writes them, are compared with the whole ledger.
"""

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Final, NoReturn, Protocol

from app.core.erasure import Named
from app.core.failure_log import FailureLog
from app.core.log_events import LogEvent
from app.core.models import RecordSource
from app.core.records import StoredLetter, id_of
from app.dead_letters.store import LetterBatch
from app.erasure.mentions import names_of
from app.observability.metrics import LETTERS_REMOVED
from app.ports.erasure import LetterRegister

logger = logging.getLogger(__name__)

INTERVAL_S: Final = 30.0  # between looks at the ledger, for what another process or an outage left


class Letters(Protocol):
    """What is used of app.dead_letters.store.DeadLetterStore."""

    def batches(self, topic: str, *, first: int | None = None) -> AsyncIterator[LetterBatch]: ...

    async def remove_keys(self, topic: str, keys: Sequence[bytes]) -> None: ...


class LetterSweep:
    """Implements app.ports.erasure.LetterSweeper. `topics` are the original topics and whether their records name
    types."""

    def __init__(
        self,
        register: LetterRegister,
        letters: Callable[[], AbstractAsyncContextManager[Letters]],
        topics: Mapping[str, bool],
        *,
        interval_s: float = INTERVAL_S,
    ) -> None:
        self._register = register
        self._letters = letters
        self._topics = topics
        self._interval_s = interval_s
        self._wanted = asyncio.Event()
        self._waiting: list[asyncio.Future[None]] = []
        self._failures = FailureLog(
            logger,
            "Dead letters about erased entities wait for their removal: %s",
            event=LogEvent.LETTERS_WAIT,
        )

    async def run(self) -> NoReturn:
        """Sweep when asked, and now and then; until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wanted.wait(), self._interval_s)
            self._wanted.clear()
            waiting, self._waiting = self._waiting, []
            with self._failures.attempt():
                await self.sweep()
            for future in waiting:
                if not future.done():
                    future.set_result(None)

    async def swept(self, *, wait_s: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._wanted.set()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(future, wait_s)

    async def sweep(self) -> None:
        """Remove what is due: of new erasures in all letters, of all erasures in new letters. Idempotent.

        Raises ProfileError.
        """
        unchecked = await self._register.unchecked()
        positions = await self._register.swept()
        if not unchecked and positions is None:
            return
        removed = 0
        left: defaultdict[str, set[str]] = defaultdict(set)
        async with self._letters() as letters:
            for topic, typed in self._topics.items():
                first = None if unchecked or positions is None else positions.get(topic)
                pass_ = _Pass(self._register, typed=typed, doubtful=bool(unchecked))
                async for batch in letters.batches(topic, first=first):
                    await pass_.take(batch.letters)
                    end = batch.next_offset
                if pass_.about:
                    # Counted before they are gone: what breaks off between is found again, and counts once.
                    await self._register.note_removed(pass_.by_id)
                    await letters.remove_keys(topic, list(pass_.about))
                removed += len(pass_.about)
                for key, ledger_ids in pass_.doubts.items():
                    for ledger_id in ledger_ids or unchecked:
                        left[ledger_id].add(id_of(key))
                if positions is None or positions.get(topic) != end:
                    await self._register.note_swept(topic, end)
        if unchecked:
            await self._register.note_left(unchecked, left)
            await self._register.note_letters(unchecked, {})
        if removed:
            LETTERS_REMOVED.inc(removed)
            logger.info("Removed %d dead letters about erased entities", removed)


class _Pass:
    """Reads a topic's letters once: which are about somebody erased, and which may be."""

    def __init__(self, register: LetterRegister, *, typed: bool, doubtful: bool) -> None:
        self._register = register
        self._typed = typed
        self._doubtful = doubtful
        self.about: dict[bytes, frozenset[str]] = {}
        self.doubts: dict[bytes, frozenset[str]] = {}  # empty: of a letter that names more than was looked at

    @property
    def by_id(self) -> dict[str, frozenset[str]]:
        """What is to be removed, by the names of letters."""
        return {id_of(key): ledger_ids for key, ledger_ids in self.about.items()}

    async def take(self, letters: Sequence[tuple[bytes, StoredLetter | None]]) -> None:
        for key, _ in letters:  # removed, or written again
            self.about.pop(key, None)
            self.doubts.pop(key, None)
        # The last one under a key is what stands.
        standing = [(key, letter) for key, letter in dict(letters).items() if letter is not None]
        if not standing:
            return
        named = await asyncio.to_thread(self._named, [letter for _, letter in standing])
        erased = await self._register.erased_among(named)
        self.about |= {key: about for (key, _), about in zip(standing, erased, strict=True) if about}
        if self._doubtful:
            await self._doubt([key for key, _ in standing], named)

    def _named(self, letters: Sequence[StoredLetter]) -> list[Named]:
        return [named_in(letter, typed=self._typed) for letter in letters]

    async def _doubt(self, keys: Sequence[bytes], named: Sequence[Named]) -> None:
        asked = [
            (key, replace(each, keys=frozenset(), ids=frozenset(), references=each.doubtful))
            for key, each in zip(keys, named, strict=True)
            if each.doubtful and key not in self.about
        ]
        found = await self._register.erased_among([each for _, each in asked]) if asked else []
        self.doubts |= {key: about for (key, _), about in zip(asked, found, strict=True) if about}
        for key, each in zip(keys, named, strict=True):
            if each.cut and key not in self.about:
                self.doubts[key] = frozenset()


def named_in(letter: StoredLetter, *, typed: bool) -> Named:
    """Whom a letter names: by its record, by the reason for which it is one, and by headers of other programs."""
    others = [content for name, content in letter.headers if not name.startswith("dlq.")]
    return names_of(
        key=letter.key,
        value=letter.value,
        timestamp_ms=letter.timestamp_ms,
        typed=typed,
        others=[letter.reason.encode(errors="replace"), *others],
        place=_place_of(letter),
    )


def _place_of(letter: StoredLetter) -> RecordSource | None:
    """By the letter's key, `topic/partition/offset`, which may go on; None where another program chose another one."""
    partition, _, rest = letter.id.removeprefix(f"{letter.topic}/").partition("/")
    offset = rest.split("/", 1)[0]
    if not (partition.isdecimal() and offset.isdecimal()):
        return None
    return RecordSource(letter.topic, int(partition), int(offset))
