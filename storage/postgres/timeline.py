"""Which history of the database positions, cache keys and tokens belong to: its cluster, timeline and database.

A replica that is promoted goes on with a new timeline, on which the same position means something else. A process
sees that on its first connection to the new primary, before anything is asked there, and begins anew with an empty
cache: nothing read of one timeline is kept under the keys of another. What answers from memory alone makes no
connection, so it looks twice a second.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import asyncpg

from app.core.errors import FatalError, TransientError
from app.core.log_events import LogEvent
from storage.postgres.pools import Connection, asked
from storage.postgres.queries import query
from storage.postgres.replicas import Replica

logger = logging.getLogger(__name__)

WATCH_S: Final = 0.5
_LOOK_TIMEOUT_S: Final = 2.0


class Identity(NamedTuple):
    """What a cache is valid for."""

    system: int
    timeline: int
    database: int

    def __str__(self) -> str:
        return f"{self.system}.{self.timeline}.{self.database}"


class Lineage:
    """The identity of the primary that this process writes to and asks."""

    def __init__(self) -> None:
        self._identity: Identity | None = None
        self._moved: list[Callable[[], None]] = []
        self._pools: list[asyncpg.Pool] = []

    @property
    def identity(self) -> Identity:
        """Known once there was a connection to the primary."""
        assert self._identity is not None  # noqa: S101 - see above
        return self._identity

    def on_move(self, moved: Callable[[], None], pools: Sequence[asyncpg.Pool]) -> None:
        """Call this when the identity has changed, and replace the connections of these pools."""
        self._moved.append(moved)
        self._pools += pools

    async def check(self, connection: Connection) -> None:
        """To be called on each new connection to the primary, before it is used.

        Raises TransientError where the server is one of an earlier timeline, which a failover has left behind.
        """
        row = await connection.fetchrow(query("identity"))
        assert row is not None  # noqa: S101 - three scalar subqueries are one row
        seen = Identity(row["system_identifier"], row["timeline"], row["database"])
        known, self._identity = self._identity, seen
        if known is None or known == seen:
            return
        if (known.system, known.database) == (seen.system, seen.database) and known.timeline > seen.timeline:
            self._identity = known
            raise TransientError(
                f"The server is on timeline {seen.timeline}, the primary on {known.timeline}."
            )
        logger.warning(
            "The primary is %s and was %s: caches begin anew", seen, known, extra=LogEvent.PRIMARY_MOVED.extra
        )
        for moved in self._moved:
            moved()
        for pool in self._pools:
            await pool.expire_connections()


class LineageWatch:
    """Looks at the primary, and at whether the replicas follow it."""

    def __init__(self, lineage: Lineage, primary: asyncpg.Pool, replicas: Sequence[Replica]) -> None:
        self._lineage = lineage
        self._primary = primary
        self._replicas = replicas

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(WATCH_S)

    async def look(self) -> None:
        """Look once. Raises nothing: a server that does not answer says nothing new."""
        await asyncio.gather(self._look_at_primary(), *map(self._look_at, self._replicas))

    async def _look_at_primary(self) -> None:
        with contextlib.suppress(TransientError, FatalError):
            async with asked(self._primary, _LOOK_TIMEOUT_S) as connection:
                await self._lineage.check(connection)

    async def _look_at(self, replica: Replica) -> None:
        timeline = self._lineage.identity.timeline
        try:
            async with asked(replica.pool, _LOOK_TIMEOUT_S) as connection:
                row = await connection.fetchrow(query("followed_timeline"))
        except (TransientError, FatalError):
            return
        assert row is not None  # noqa: S101 - scalars are one row
        if timeline != self._lineage.identity.timeline:
            return  # it moved meanwhile
        follows = row["in_recovery"] and row["timeline"] == timeline
        if follows != replica.follows:
            logger.warning(
                "%s %s the primary",
                replica.name,
                "follows" if follows else "does not follow",
                extra=LogEvent.REPLICA_TIMELINE.extra,
            )
        replica.follows = follows
