"""Dead letters for the HTTP API: a page of them, and the replay of one."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

from app.core.errors import BusyError, FatalError, TransientError
from app.dead_letters.filter import LetterFilter
from app.dead_letters.store import DeadLetterStore, Selection
from app.ports.dead_letters import LetterPage

_AT_A_TIME: Final = 2  # each reads its topics from the beginning
_TURN_S: Final = 2.0


class KafkaLetterBox:
    """Implements app.ports.dead_letters.LetterBox; `topics` are the original ones, in the order in which letters are
    told."""

    def __init__(self, topics: Sequence[str], store: Callable[[], DeadLetterStore]) -> None:
        self._topics = list(topics)
        self._store = store
        self._turns = asyncio.Semaphore(_AT_A_TIME)

    async def page(self, topic: str | None, *, limit: int, after: tuple[int, int] | None) -> LetterPage:
        first = 0 if after is None else after[0]
        # Topics that were told whole are not read again.
        wanted = [topic] if topic is not None else self._topics[first:]
        async with self._opened() as store:
            found = await store.select(LetterFilter(topics=frozenset(wanted)))
            places = sorted(
                ((self._topics.index(name), offset), name, key)
                for name, offsets in found.offsets.items()
                for key, offset in offsets.items()
            )
            left = [each for each in places if after is None or each[0] > after]
            page: dict[str, dict[bytes, int]] = {}
            for (_, offset), name, key in left[:limit]:
                page.setdefault(name, {})[key] = offset
            letters = [letter async for letter in store.read(Selection(offsets=page))]
        return LetterPage(letters=letters, next_after=left[limit - 1][0] if len(left) > limit else None)

    async def replay(self, letter_id: str) -> str | None:
        async with self._opened() as store:
            selection = await store.select(LetterFilter(ids=frozenset((letter_id,))))
            outcomes = [outcome async for outcome in store.replay(selection)]
        # Between the two passes somebody else may have replayed it.
        return outcomes[0].stays if outcomes else None

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[DeadLetterStore]:
        try:
            async with asyncio.timeout(_TURN_S):
                await self._turns.acquire()
        except TimeoutError:
            raise BusyError("Others are reading dead letters now; try again in a moment.") from None
        try:
            async with self._store() as store:
                yield store
        except FatalError as error:  # the topics are not made yet
            raise TransientError(str(error)) from error
        finally:
            self._turns.release()
