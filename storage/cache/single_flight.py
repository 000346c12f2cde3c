"""One flight for concurrent misses of one key.

Rule 6: nobody joins a flight that a notification has overtaken, and none while the channel is away.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Generic, TypeVar

from storage.cache.memory import Key, MemoryCache, Ticket

T = TypeVar("T")


class Flight(Generic[T]):
    """A fill under way. It goes on when who began it is cancelled, since others may have joined."""

    def __init__(self, ticket: Ticket, task: "asyncio.Task[T]") -> None:
        self.ticket = ticket
        self._task = task

    async def landed(self) -> T:
        """Its result, or its exception."""
        return await asyncio.shield(self._task)


class Flights(Generic[T]):
    """Those under way, by key."""

    def __init__(self, memory: MemoryCache[object]) -> None:
        self._memory = memory
        self._flights: dict[Key, Flight[T]] = {}

    def to_join(self, key: Key) -> Flight[T] | None:
        """The flight of this key that a request may join now."""
        flight = self._flights.get(key)
        return flight if flight is not None and self._memory.is_current(key, flight.ticket) else None

    def begin(self, keys: Iterable[Key], fill: Callable[[Ticket], Awaitable[T]]) -> Flight[T]:
        """Begin a fill of these keys; of none, where nobody else is to join it."""
        ticket = self._memory.ticket()
        task = asyncio.ensure_future(fill(ticket))
        flight = Flight(ticket, task)
        flown = list(keys)
        for key in flown:
            self._flights[key] = flight

        def end(done: "asyncio.Task[T]") -> None:
            for key in flown:
                if self._flights.get(key) is flight:
                    del self._flights[key]
            if not done.cancelled():
                done.exception()  # nobody may be waiting any more

        task.add_done_callback(end)
        return flight
