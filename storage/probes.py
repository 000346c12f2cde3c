"""The true state of PostgreSQL and Redis, asked now."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, cast

import asyncpg

from app.core.attention import attended_timeout
from app.core.errors import TransientError
from app.ports.health import DependencyState
from storage.postgres.queries import query
from storage.redis.cluster import RedisNodes

_TIMEOUT_S: Final = 1.0
_FAILURES: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    OSError,
    TimeoutError,
)


class PostgresProbe:
    """One server, primary or replica. Replicas are not required: the primary answers in their place."""

    def __init__(
        self,
        name: str,
        pool: asyncpg.Pool,
        *,
        primary: asyncpg.Pool,
        lacking_room: Callable[[], str | None] = lambda: None,
    ) -> None:
        """`lacking_room` says why writes fail for want of room, where they do."""
        self._lacking_room = lacking_room
        self._name = name
        self._pool = pool
        self._primary = primary

    async def check(self) -> list[DependencyState]:
        is_primary = self._pool is self._primary
        try:
            in_recovery, position = await _ping(self._pool)
            ready = in_recovery != is_primary
            detail = "answers" if ready else "is in recovery" if is_primary else "is not a replica"
        except _FAILURES as error:
            ready, detail = False, f"does not answer ({type(error).__name__})"
        else:
            if ready and not is_primary:
                detail = await self._lag(position)
        states = [DependencyState(name=self._name, ready=ready, required=is_primary, detail=detail)]
        if why := self._lacking_room():
            # Reads go on.
            states.append(DependencyState(name=f"{self._name}-disk", ready=False, required=False, detail=why))
        return states

    async def _lag(self, replayed: int) -> str:
        try:
            _, flushed = await _ping(self._primary)
        except _FAILURES:
            return "answers; its lag is not known, since the primary does not answer"
        return f"answers, {max(0, flushed - replayed)} bytes behind"


async def _ping(pool: asyncpg.Pool) -> tuple[bool, int]:
    async with attended_timeout(_TIMEOUT_S), pool.acquire() as connection:
        row = await connection.fetchrow(query("ping"))
    assert row is not None  # noqa: S101 - scalars are one row
    return row["in_recovery"], row["position"]


class RedisProbe:
    """All nodes. Not required: PostgreSQL answers in the cache's place."""

    def __init__(self, nodes: RedisNodes) -> None:
        self._nodes = nodes

    async def check(self) -> list[DependencyState]:
        try:
            async with attended_timeout(_TIMEOUT_S):
                ready, detail = True, f"{await self._nodes.ping()} nodes answer"
                if full := full_nodes(await self._nodes.ask_each([("INFO", "memory")])):
                    ready, detail = False, f"out of memory, so nothing new is cached: {', '.join(full)}"
        except (TransientError, TimeoutError) as error:
            ready, detail = False, f"does not answer ({type(error).__name__})"
        return [DependencyState(name="redis", ready=ready, required=False, detail=detail)]


def full_nodes(told: Mapping[str, Sequence[object]]) -> list[str]:
    """Of the answers to `INFO memory` by node: those that are full and evict nothing."""
    full = []
    for node, (info,) in told.items():
        lines = cast("bytes", info).decode().splitlines()
        memory = dict(line.split(":", 1) for line in lines if ":" in line)
        used, most = int(memory["used_memory"]), int(memory["maxmemory"])
        if most and used >= most and memory["maxmemory_policy"] == "noeviction":
            full.append(f"{node} uses {used} of {most} bytes")
    return full
