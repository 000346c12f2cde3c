"""Reads anew, many at once, what a commit has taken from the memory of this process.

What was asked for in the last minutes is likely to be asked for again, and each tree that shows it is missed until
somebody has read it: with a few hundred commits a second that is most of the trees. A refill is a fill as
any other (rules 4 to 6); requests that come meanwhile join it. Look-ups are left to who asks for them: a commit drops
those alone whose list has changed.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final

from app.core.clock import Clock
from app.core.errors import ProfileError
from app.observability.metrics import CACHE_REFILLS
from storage.cache.memory import Memory
from storage.read.fragment_loader import FragmentLoader

_OF_ONE_QUESTION: Final = 64  # fragments: some milliseconds of this process
_AT_ONCE: Final = 2  # questions, so that requests find a connection
_PER_S: Final = 2_000  # some tenths of this process' time; who writes more leaves the rest to the requests
_BURST_S: Final = 0.5
_GATHER_S: Final = 0.002  # a flush tells of its changes in several messages


class Refill:
    """Keeps in memory what is used and changes."""

    def __init__(self, memory: Memory, fragments: FragmentLoader, clock: Clock) -> None:
        self._memory = memory
        self._fragments = fragments
        self._clock = clock
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Work until cancelled."""
        self._memory.when_dropped = self._wake.set
        spent_until = 0.0
        while True:
            await self._wake.wait()
            self._wake.clear()
            await asyncio.sleep(_GATHER_S)
            count = await self.refill()
            now = self._clock.monotonic()
            spent_until = max(spent_until, now - _BURST_S) + count / _PER_S
            await asyncio.sleep(max(0.0, spent_until - now))

    async def refill(self) -> int:
        """Read all that was dropped; returns how many fragments that are."""
        dropped = self._memory.take_dropped()
        ids = sorted(key for key in dropped if isinstance(key, int))
        parts = [ids[i : i + _OF_ONE_QUESTION] for i in range(0, len(ids), _OF_ONE_QUESTION)]
        for i in range(0, len(parts), _AT_ONCE):
            await asyncio.gather(*map(self._read, parts[i : i + _AT_ONCE]))
        self._memory.note_asked(dropped)
        return len(ids)

    async def _read(self, ids: Sequence[int]) -> None:
        with contextlib.suppress(ProfileError):  # then those who ask are told
            CACHE_REFILLS.add(count=await self._fragments.refill(ids))
