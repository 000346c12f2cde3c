"""Everything of PostgreSQL and Redis that one process uses: opened together, closed together."""

from contextlib import AsyncExitStack
from random import Random
from typing import Final, Self

import asyncpg

from app.clock import Clock, SystemClock
from app.hooks import NO_HOOKS, Hooks
from app.ports import (
    Auditor,
    CommitLog,
    EntityDirectory,
    GraphReader,
    Probe,
    ProfileEraser,
    ProfilePreview,
    ProfileWriter,
)
from app.settings import Role, Settings
from storage.audited_levels import AuditedLevel, MemoryEntries, RedisEntries
from storage.auditor import CacheAuditor
from storage.cache import CacheLevel, NoCache, RedisCache
from storage.directory import PostgresCommitLog, PostgresDirectory
from storage.eraser import PostgresEraser
from storage.errors import translated
from storage.fragment_loader import FragmentLoader
from storage.invalidation import CacheInvalidator, PendingInvalidations
from storage.kept_trees import KeptTrees
from storage.keyspace import Keyspace
from storage.ledger import ErasureLedger
from storage.levels import SharedLevel
from storage.list_loader import ListLoader
from storage.memory_cache import MemoryCache
from storage.notifications import Memory, Notifications
from storage.pools import open_reader, open_writer
from storage.preview import PostgresPreview
from storage.probes import PostgresProbe, RedisProbe
from storage.queries import query
from storage.reader import CachedGraphReader
from storage.redis_nodes import RedisNodes
from storage.source import ReadSource, Replica
from storage.writer import PostgresWriter

_MIB: Final = 1024 * 1024


class Stores:
    """The ports of app.ports on real servers."""

    writer: ProfileWriter
    eraser: ProfileEraser
    preview: ProfilePreview
    reader: GraphReader
    directory: EntityDirectory
    invalidator: CacheInvalidator
    commit_log: CommitLog
    auditor: Auditor
    cache: CacheLevel
    database: str  # which cluster, timeline and database the positions of tokens belong to
    probes: list[Probe]

    def __init__(self) -> None:
        self._resources = AsyncExitStack()

    @classmethod
    async def open(cls, settings: Settings, clock: Clock | None = None, hooks: Hooks = NO_HOOKS) -> Self:
        """Open the pools. The primary must answer; replicas and Redis may be down.

        Raises TransientError (not reachable) or FatalError (wrong password, no such database).
        """
        stores = cls()
        try:
            await stores._open(settings, clock or SystemClock(), hooks)
        except BaseException:
            await stores.close()
            raise
        return stores

    async def _open(self, settings: Settings, clock: Clock, hooks: Hooks) -> None:
        close = self._resources.push_async_callback
        acquire_s = settings.postgres_acquire_timeout_s

        writer = await open_writer(settings)
        close(_close_pool, writer)
        primary = await open_reader(settings.postgres_dsn.get_secret_value(), settings, name="primary")
        close(_close_pool, primary)
        self.probes = [PostgresProbe("postgres-primary", primary, primary=primary)]
        replicas = []
        for number, dsn in enumerate(settings.postgres_replica_dsns, start=1):
            name = f"postgres-replica-{number}"
            pool = await open_reader(dsn.get_secret_value(), settings, name=f"replica-{number}")
            close(_close_pool, pool)
            replicas.append(Replica(name, pool, clock))
            self.probes.append(PostgresProbe(name, pool, primary=primary))

        identity = await _identity(primary, acquire_s)
        self.database = f"{identity['system_identifier']}.{identity['timeline']}.{identity['database']}"
        keyspace = Keyspace(f"{settings.cache_prefix}:{self.database}")
        memory: Memory = MemoryCache(clock, max_bytes=settings.memory_cache_mb * _MIB)
        notifications = None
        self.cache = NoCache()
        audited: list[AuditedLevel] = []
        if settings.cache_enabled:
            nodes = RedisNodes(settings.redis_nodes, timeout_s=settings.redis_timeout_s)
            close(nodes.close)
            self.cache = RedisCache(nodes, keyspace, clock, ttl_s=settings.cache_ttl_s)
            self.probes.append(RedisProbe(nodes))
            notifications = Notifications(nodes, keyspace, memory, clock, timeout_s=settings.redis_timeout_s)
            close(notifications.close)
            random = Random()  # noqa: S311 - it chooses what to look at
            audited = [RedisEntries(nodes, keyspace, random), MemoryEntries(memory, keyspace, random)]
            if Role.WEB in settings.roles:
                notifications.start()
        self.invalidator = invalidator = CacheInvalidator(self.cache, keyspace, memory, notifications)
        pending = PendingInvalidations(invalidator)
        close(pending.close)
        ledger = ErasureLedger(settings.erasure_key.get_secret_value())
        with translated():
            async with primary.acquire(timeout=acquire_s) as connection:
                await ledger.require_key(connection)

        self.directory = PostgresDirectory(primary, acquire_timeout_s=acquire_s)
        self.commit_log = PostgresCommitLog(primary, acquire_timeout_s=acquire_s)
        self.writer = PostgresWriter(
            writer,
            pending,
            ledger,
            clock,
            acquire_timeout_s=acquire_s,
            partition_months_from=settings.partition_months_from,
            hooks=hooks,
        )
        self.eraser = PostgresEraser(writer, pending, ledger, acquire_timeout_s=acquire_s)
        self.preview = PostgresPreview(primary, acquire_timeout_s=acquire_s)
        self._source = source = ReadSource(primary, replicas, acquire_timeout_s=acquire_s, clock=clock)
        self.auditor = CacheAuditor(
            audited, source, keyspace, invalidator, node_budget=settings.graph_node_budget
        )
        shared = SharedLevel(self.cache, pending, source)
        self.reader = CachedGraphReader(
            FragmentLoader(memory, shared, keyspace, source, clock, node_budget=settings.graph_node_budget),
            ListLoader(memory, shared, source, clock),
            KeptTrees(memory, clock, max_bytes=settings.answer_cache_mb * _MIB),
            keyspace,
            clock,
            node_budget=settings.graph_node_budget,
            retention_months=settings.temporal_retention_months,
        )

    async def position(self) -> int | None:
        """The primary's flush position now; None while it is down."""
        return await self._source.position()

    async def close(self) -> None:
        """Close everything, in reverse order."""
        await self._resources.aclose()


async def _identity(pool: asyncpg.Pool, acquire_timeout_s: float) -> asyncpg.Record:
    with translated():
        async with pool.acquire(timeout=acquire_timeout_s) as connection:
            row = await connection.fetchrow(query("identity"))
    assert row is not None  # noqa: S101 — three scalar subqueries are one row
    return row


async def _close_pool(pool: asyncpg.Pool) -> None:
    # terminate: a statement that hangs must not hold up the end of the process.
    pool.terminate()
