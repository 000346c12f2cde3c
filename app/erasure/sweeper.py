"""Removes the dead letters about erased entities, after the erasure committed and for as long as it takes.

What is due stands in the ledger, so neither a crash nor an outage of Kafka loses it. The ledger knows keyed hashes
alone: the letters are read, and those are removed that name somebody who is in it.
"""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final, NoReturn, Protocol

from app.core.errors import ProfileError
from app.core.log_events import LogEvent
from app.core.records import StoredLetter
from app.erasure.mentions import names_of
from app.ports.erasure import ErasureRegister

logger = logging.getLogger(__name__)

INTERVAL_S: Final = 30.0  # between looks at the ledger, for what another process or an outage left


class Letters(Protocol):
    """What is used of app.dead_letters.store.DeadLetterStore."""

    def batches(self, topic: str) -> AsyncIterator[Sequence[tuple[bytes, StoredLetter | None]]]: ...

    async def remove_keys(self, topic: str, keys: Sequence[bytes]) -> None: ...


class LetterSweep:
    """Implements app.ports.erasure.LetterSweeper. `topics` are the original topics and whether their records name
    types."""

    def __init__(
        self,
        register: ErasureRegister,
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
        self._failed = False

    async def run(self) -> NoReturn:
        """Sweep when asked, and now and then; until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wanted.wait(), self._interval_s)
            self._wanted.clear()
            waiting, self._waiting = self._waiting, []
            await self._try()
            for future in waiting:
                if not future.done():
                    future.set_result(None)

    async def swept(self, *, wait_s: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._wanted.set()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(future, wait_s)

    async def _try(self) -> None:
        try:
            await self.sweep()
        except ProfileError as error:
            self._note_failure(str(error))
        except Exception as error:  # noqa: BLE001 - it is tried again; its message may quote a letter
            self._note_failure(type(error).__name__)
        else:
            self._failed = False

    def _note_failure(self, reason: str) -> None:
        if not self._failed:
            logger.warning(
                "Dead letters about erased entities wait for their removal: %s",
                reason,
                extra=LogEvent.LETTERS_WAIT.extra,
            )
        self._failed = True

    async def sweep(self) -> None:
        """Remove what is due. Idempotent. Raises ProfileError."""
        unchecked = await self._register.unchecked()
        if not unchecked:
            return
        removed: Counter[str] = Counter()
        async with self._letters() as letters:
            for topic, typed in self._topics.items():
                about = await self._find(letters, topic, typed=typed)
                if about:
                    await letters.remove_keys(topic, list(about))
                for ledger_ids in about.values():
                    removed.update(ledger_ids)
        await self._register.note_letters(unchecked, removed)
        logger.info("Removed %d dead letters about erased entities", sum(removed.values()))

    async def _find(self, letters: Letters, topic: str, *, typed: bool) -> dict[bytes, frozenset[str]]:
        """The letters of a topic that are about somebody erased, by key."""
        found: dict[bytes, frozenset[str]] = {}
        async for batch in letters.batches(topic):
            for key, _ in batch:
                found.pop(key, None)  # removed, or written again
            # The last one under a key is what stands.
            standing = dict(batch)
            asked = [(key, letter) for key, letter in standing.items() if letter is not None]
            named = [
                names_of(key=letter.key, value=letter.value, timestamp_ms=letter.timestamp_ms, typed=typed)
                for _, letter in asked
            ]
            erased = await self._register.erased_among(named) if named else []
            found |= {key: about for (key, _), about in zip(asked, erased, strict=True) if about}
        return found
