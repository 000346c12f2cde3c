"""Reads anew, many at once, what memory would drop for its age although it was asked for in the last minutes.

Without it each entry of a tree would be missed once a minute, in the way of a request. An entry is as fresh as one
that a request reads from the shared level: a ticket is taken before (rule 6), and what was notified meanwhile is not
stored. What the shared level does not have, or has older, is left to its age.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from app.observability.metrics import CACHE_RENEWALS
from storage.cache import fragments as codec
from storage.cache import id_lists
from storage.cache.fragments import Fragment
from storage.cache.id_lists import IdList
from storage.cache.keyspace import CacheKey, Keyspace
from storage.cache.leases import SharedLevel
from storage.cache.memory import Key, Memory, Ticket

_EVERY_S: Final = 0.25
_AT_ONCE: Final = 100  # keys: a millisecond or two of this process


class Renewal:
    """Keeps in memory what is used."""

    def __init__(self, memory: Memory, shared: SharedLevel, keyspace: Keyspace) -> None:
        self._memory = memory
        self._shared = shared
        self._keys = keyspace

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            await asyncio.sleep(_EVERY_S)
            await self.renew()

    async def renew(self) -> None:
        """Read once what is aging now, in parts, so that requests are answered between them."""
        keys = [found for found in map(self._key, self._memory.take_aging()) if found is not None]
        for start in range(0, len(keys), _AT_ONCE):
            await self._renew(keys[start : start + _AT_ONCE])

    def _key(self, local: Key) -> CacheKey | None:
        return self._keys.fragment(local) if isinstance(local, int) else self._keys.parse(local)

    async def _renew(self, keys: Sequence[CacheKey]) -> None:
        ticket = self._memory.ticket()
        held = [self._memory.peek(key.local) for key in keys]
        entries = await self._shared.get(keys)
        renewed = 0
        for key, value, entry in zip(keys, held, entries, strict=True):
            if value is not None and entry is not None:
                renewed += self._take(key.local, value, entry, ticket)
        CACHE_RENEWALS.add(count=renewed)

    def _take(self, key: Key, held: Fragment | IdList, entry: bytes, ticket: Ticket) -> bool:
        """Keep what is held where it is the same, so that trees that were made of it hold on."""
        found = codec.decode(entry) if isinstance(key, int) else id_lists.decode(entry)
        if found is None:
            return False
        if _same(held, found):
            return self._memory.renew(key, held)
        self._memory.put(key, found, found.size_bytes, ticket, position=found.position)
        return self._memory.peek(key) is found


def _same(held: Fragment | IdList, found: Fragment | IdList) -> bool:
    """Whether both say the same, as of whichever position."""
    if isinstance(held, Fragment) and isinstance(found, Fragment):
        return held.digest == found.digest
    if isinstance(held, IdList) and isinstance(found, IdList):
        return (held.within, held.asked, held.ids) == (found.within, found.asked, found.ids)
    return False
