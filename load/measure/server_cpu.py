"""CPU seconds of the Redis nodes and PostgreSQL servers of the settings, where they run on this machine."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import asyncpg
from redis.asyncio import Redis

from app.config.settings import Settings
from load.measure import cpu


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerCpu:
    """The processes, found once; None where they are not seen from here, as in containers."""

    redis: Sequence[int] | None
    postgres: Sequence[int] | None

    @classmethod
    def find(cls, settings: Settings) -> Self:
        """Ask the servers themselves for their process ids."""
        redis, postgres = asyncio.run(_ask_all(settings))
        return cls(redis=_living(redis, "redis-server"), postgres=_living(postgres, "postgres"))

    def redis_s(self) -> float | None:
        """Of all nodes together."""
        return None if self.redis is None else sum(map(cpu.process_s, self.redis))

    def postgres_s(self) -> float | None:
        """Of all servers together, with all their sessions."""
        return None if self.postgres is None else sum(map(cpu.family_s, self.postgres))


async def _ask_all(settings: Settings) -> tuple[list[int], list[int]]:
    redis = [await _redis_pid(node) for node in settings.redis_nodes]
    postgres = []
    for dsn in [settings.postgres_dsn, *settings.postgres_replica_dsns]:
        connection = await asyncpg.connect(dsn.get_secret_value())
        try:
            postgres.append(_parent(await connection.fetchval("SELECT pg_backend_pid()")))
        finally:
            await connection.close()
    return redis, postgres


async def _redis_pid(node: str) -> int:
    host, _, port = node.rpartition(":")
    async with Redis(host=host, port=int(port)) as client:
        told = await client.info("server")
    return int(told["process_id"])


def _parent(pid: int) -> int:
    # Sessions come and go; their parent stays and counts those that went.
    try:
        return cpu.parent(pid)
    except OSError:
        return 0


def _living(pids: Sequence[int], name: str) -> Sequence[int] | None:
    # A number that a container told may be that of another process here.
    return pids if all(cpu.name(pid) == name for pid in pids) else None
