"""The true state of PostgreSQL and Redis, asked now."""

import asyncio
from typing import Final

import asyncpg
from redis.exceptions import RedisError

from app.errors import TransientError
from app.ports import DependencyState
from storage.queries import query
from storage.redis_nodes import RedisNodes

_TIMEOUT_S: Final = 1.0
_FAILURES: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    OSError,
    TimeoutError,
    RedisError,
    TransientError,
)


class PostgresProbe:
    """One server, primary or replica. Replicas are not required: the primary answers in their place."""

    def __init__(self, name: str, pool: asyncpg.Pool, *, primary: bool) -> None:
        self._name = name
        self._pool = pool
        self._primary = primary

    async def check(self) -> list[DependencyState]:
        try:
            async with asyncio.timeout(_TIMEOUT_S), self._pool.acquire() as connection:
                in_recovery = await connection.fetchval(query("ping"))
            ready = in_recovery != self._primary
            detail = "answers" if ready else "is in recovery" if self._primary else "is not a replica"
        except _FAILURES as error:
            ready, detail = False, f"does not answer ({type(error).__name__})"
        return [DependencyState(name=self._name, ready=ready, required=self._primary, detail=detail)]


class RedisProbe:
    """All nodes. Not required: PostgreSQL answers in the cache's place."""

    def __init__(self, nodes: RedisNodes) -> None:
        self._nodes = nodes

    async def check(self) -> list[DependencyState]:
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                nodes = await self._nodes.primaries()
                await asyncio.gather(*(client.ping() for _, client in nodes))
            ready, detail = True, f"{len(nodes)} nodes answer"
        except _FAILURES as error:
            ready, detail = False, f"does not answer ({type(error).__name__})"
        return [DependencyState(name="redis", ready=ready, required=False, detail=detail)]
