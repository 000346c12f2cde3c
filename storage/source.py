"""Where reads of PostgreSQL go: the primary for what will be cached, a caught-up replica for what will not.

A replica answers only when its replay position, read before the data, has reached the primary's flush position
asked just before. With the primary down, the most advanced replica answers and the read counts as unverified.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

import asyncpg

from app.clock import Clock
from app.errors import TransientError
from storage.breaker import Breaker
from storage.errors import translated
from storage.pools import Connection
from storage.queries import query

logger = logging.getLogger(__name__)

T = TypeVar("T")
# A read on a connection; the second argument is the position that the data will have reached.
Ask = Callable[[Connection, int], Awaitable[T]]

COOLDOWN_S: Final = 2.0
REPLICA_TIMEOUT_S: Final = 2.0


class Replica:
    """A replica and whether it answered lately."""

    def __init__(self, name: str, pool: asyncpg.Pool, clock: Clock) -> None:
        self.name = name
        self.pool = pool
        self.breaker = Breaker(clock, cooldown_s=COOLDOWN_S)


class ReadSource:
    """The primary and its replicas. Raises TransientError where none answers."""

    def __init__(
        self, primary: asyncpg.Pool, replicas: Sequence[Replica], *, acquire_timeout_s: float, clock: Clock
    ) -> None:
        self._primary = primary
        self._replicas = list(replicas)
        self._acquire_timeout_s = acquire_timeout_s
        # Its cooldown keeps requests from waiting for a primary that is known to be down.
        self._primary_breaker = Breaker(clock, cooldown_s=COOLDOWN_S)
        self._turn = 0

    async def read_to_store(self, ask: Ask[T]) -> tuple[T, bool]:
        """Read on the primary, whose answer may be cached; else, unverified, on a replica.

        Returns the result and whether its freshness is known.
        """
        try:
            return await self._on_primary(ask), True
        except TransientError as failure:
            return await self._without_primary(ask, failure)

    async def read(self, ask: Ask[T]) -> tuple[T, bool]:
        """Read where it costs the primary least; the answer must not be cached."""
        try:
            reached = await self._on_primary(_position)
        except TransientError as failure:
            return await self._without_primary(ask, failure)
        for replica in self._in_turn():
            try:
                return await self._on_replica(replica, _if_reached(reached, ask)), True
            except (TransientError, _BehindError):
                continue
        return await self._on_primary(ask), True

    async def _on_primary(self, ask: Ask[T]) -> T:
        if not self._primary_breaker.allow():
            raise _RestingError("The primary did not answer a moment ago.")
        return await self._ask_primary(ask)

    async def _ask_primary(self, ask: Ask[T]) -> T:
        try:
            with translated():
                async with self._primary.acquire(timeout=self._acquire_timeout_s) as connection:
                    # Minus one: a commit can be flushed and not visible yet.
                    position = await connection.fetchval(query("flush_position"))
                    result = await ask(connection, position - 1)
        except TransientError:
            self._primary_breaker.failed()
            raise
        self._primary_breaker.succeeded()
        return result

    async def _on_replica(self, replica: Replica, ask: Ask[T]) -> T:
        try:
            with translated():
                async with (
                    asyncio.timeout(REPLICA_TIMEOUT_S),
                    replica.pool.acquire(timeout=REPLICA_TIMEOUT_S) as connection,
                ):
                    result = await ask(connection, await _replayed(connection, 0))
        except _BehindError:
            replica.breaker.succeeded()
            raise
        except TransientError as error:
            if replica.breaker.closed:
                logger.warning("%s is left out for now: %s", replica.name, error)
            replica.breaker.failed()
            raise
        replica.breaker.succeeded()
        return result

    def _in_turn(self) -> list[Replica]:
        self._turn += 1
        turned = [self._replicas[(self._turn + i) % len(self._replicas)] for i in range(len(self._replicas))]
        return [replica for replica in turned if replica.breaker.allow()]

    async def _without_primary(self, ask: Ask[T], failure: TransientError) -> tuple[T, bool]:
        replicas = self._in_turn()
        positions = await asyncio.gather(
            *(self._on_replica(replica, _own_position) for replica in replicas), return_exceptions=True
        )
        answered = [
            (position, replica)
            for position, replica in zip(positions, replicas, strict=True)
            if isinstance(position, int)
        ]
        for _, replica in sorted(answered, key=lambda pair: -pair[0]):
            try:
                return await self._on_replica(replica, ask), False
            except TransientError:
                continue
        if isinstance(failure, _RestingError):  # nobody else is left
            return await self._ask_primary(ask), True
        raise failure


class _RestingError(TransientError):
    """The primary failed lately and was not asked."""


class _BehindError(Exception):
    """A replica that answers and has not replayed far enough."""


def _if_reached(position: int, ask: Ask[T]) -> Ask[T]:
    """The same question, put only where `position` was replayed before; one session, so no restart between."""

    async def guarded(connection: Connection, replayed: int) -> T:
        if replayed < position:
            raise _BehindError
        return await ask(connection, replayed)

    return guarded


async def _position(_: Connection, position: int) -> int:
    return position + 1


async def _replayed(connection: Connection, _: int) -> int:
    return await connection.fetchval(query("replay_position")) or 0


async def _own_position(_: Connection, position: int) -> int:
    return position
