"""Everything of PostgreSQL and Redis that one process uses: opened together, closed together."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import datetime
from functools import partial
from random import Random
from typing import Final, Self

import asyncpg

from app.config.settings import Role, Settings
from app.core.clock import Clock, SystemClock
from app.core.failpoints import NO_HOOKS, Hooks
from app.observability.store_state import StoreFigures
from app.ports.api_keys import KeyStore
from app.ports.attempts import AttemptLog
from app.ports.caching import Auditor, CommitLog
from app.ports.capture import ReplicationSlots
from app.ports.erasure import ErasureTransfer, LetterRegister, LogNotes, PublishFence
from app.ports.events import NoteRegister
from app.ports.graph import (
    EntityDirectory,
    EntityIndex,
    GraphReader,
    ProfileExporter,
    ProvenanceReader,
    RelationshipReader,
)
from app.ports.health import Probe
from app.ports.snapshots import GraphSnapshots
from app.ports.stated import StatedProperties
from app.ports.writing import PlaceholderMerger, PointExpiry, ProfilePreview, ProfileWriter
from storage.audit.auditor import CacheAuditor
from storage.audit.levels import AuditedLevel, MemoryEntries, RedisEntries
from storage.audit.trees import AuditedTrees
from storage.cache.invalidation import CacheInvalidator, PendingInvalidations
from storage.cache.keyspace import Keyspace
from storage.cache.leases import SharedLevel
from storage.cache.memory import Memory, MemoryCache
from storage.cache.notifications import Notifications
from storage.cache.refresh_ahead import Renewal
from storage.cache.shared import CacheLevel, NoCache, RedisCache, UnreadCache
from storage.erasure.deletions import PostgresDeletions
from storage.erasure.eraser import PostgresEraser
from storage.erasure.fence import PostgresPublishFence
from storage.erasure.log_notes import PostgresLogNotes
from storage.erasure.register import PostgresErasureRegister
from storage.erasure.transfer import PostgresErasureTransfer
from storage.postgres.api_keys import PostgresKeys
from storage.postgres.attempts import PostgresAttempts
from storage.postgres.entity_directory import PostgresCommitLog, PostgresDirectory
from storage.postgres.errors import translated
from storage.postgres.pools import open_reader, open_writer, primary_clock
from storage.postgres.published_notes import PostgresNoteRegister
from storage.postgres.read_queue import ReadQueue
from storage.postgres.replica_lag import ServerWatch, pool_figures
from storage.postgres.replicas import PRIMARY_TIMEOUT_S, REPLICA_TIMEOUT_S, ReadSource, Replica
from storage.postgres.replication_slots import PostgresSlots
from storage.postgres.timeline import Lineage, LineageWatch
from storage.probes import PostgresProbe, RedisProbe
from storage.read.budget import Budget
from storage.read.entity_index import PostgresEntityIndex
from storage.read.exporter import PostgresExporter
from storage.read.fragment_loader import FragmentLoader
from storage.read.id_list_loader import ListLoader
from storage.read.provenance import PostgresProvenance
from storage.read.reader import CachedGraphReader
from storage.read.relationships import PostgresRelationships
from storage.read.repopulate import Refill
from storage.read.snapshot import PostgresSnapshots
from storage.read.stated_properties import PostgresStatedProperties
from storage.read.tree_cache import KeptTrees
from storage.redis.cluster import RedisNodes
from storage.redis.security import RedisSecurity
from storage.write.entity_limits import EntityLimits
from storage.write.erasure_ledger import ErasureLedger
from storage.write.old_points import OldPoints
from storage.write.pace import PieceLimits
from storage.write.placeholders import PostgresPlaceholderMerger
from storage.write.preview import PostgresPreview
from storage.write.room import Room
from storage.write.writer import PostgresWriter

_MIB: Final = 1024 * 1024

_PROBING: Final = 1  # connections to each server


class Stores:
    """The ports of app.ports on real servers."""

    writer: ProfileWriter
    eraser: PostgresEraser
    deletions: PostgresDeletions
    pieces: PieceLimits
    erasures: LetterRegister
    publish_fence: PublishFence
    published_notes: NoteRegister
    log_notes: LogNotes
    attempts: AttemptLog
    erasure_transfer: ErasureTransfer
    exporter: ProfileExporter
    keys: KeyStore
    preview: ProfilePreview
    reader: GraphReader
    directory: EntityDirectory
    entities: EntityIndex
    relationships: RelationshipReader
    provenance: ProvenanceReader
    stated: StatedProperties
    placeholders: PlaceholderMerger
    old_points: PointExpiry
    invalidator: CacheInvalidator
    invalidations: PendingInvalidations
    commit_log: CommitLog
    slots: ReplicationSlots
    snapshots: GraphSnapshots
    auditor: Auditor
    cache: CacheLevel
    database: str  # what the positions of tokens belong to now, see storage.postgres.timeline
    probes: list[Probe]
    figures: Callable[[], StoreFigures]  # for /metrics; asks no server

    def __init__(self) -> None:
        self._resources = AsyncExitStack()
        self._lineage = Lineage()

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
        self._room = Room(clock)
        writer, primary, replicas = await self._open_pools(settings, clock)
        graph = await self._open_reads(settings)
        ledger = ErasureLedger(settings.erasure_key.get_secret_value())
        with translated():
            async with primary.acquire(timeout=acquire_s) as connection:
                await ledger.require_key(connection)
        self.database = str(self._lineage.identity)
        keyspace = Keyspace(f"{settings.cache_prefix}:{self.database}")
        memory: Memory = MemoryCache(clock, max_bytes=settings.memory_cache_mb * _MIB)
        nodes, notifications, audited = self._open_cache(settings, keyspace, memory, clock)
        self.invalidator = invalidator = CacheInvalidator(self.cache, keyspace, memory, notifications)
        self.invalidations = pending = PendingInvalidations(invalidator)
        close(pending.close)

        self._ask(settings, primary, acquire_s)
        self.keys = PostgresKeys(primary, writer=writer, acquire_timeout_s=acquire_s)
        self._note(settings, writer, ledger, acquire_s)
        self.publish_fence = PostgresPublishFence(primary, ledger, acquire_timeout_s=acquire_s)
        self._write(settings, writer, pending, ledger, clock=clock, hooks=hooks)
        queue = ReadQueue(
            at_once=2 * settings.postgres_pool_size * max(1, len(replicas)),
            patience_s=settings.read_queue_s,
            clock=clock,
        )
        self._source = source = ReadSource(
            graph, replicas, acquire_timeout_s=acquire_s, clock=clock, queue=queue
        )
        self.entities = PostgresEntityIndex(source)
        self.relationships = PostgresRelationships(source)
        self.provenance = PostgresProvenance(source)

        def moved() -> None:
            self.database = str(self._lineage.identity)
            keyspace.move(f"{settings.cache_prefix}:{self.database}")
            memory.lose()
            source.moved()

        self._lineage.on_move(moved, [writer, primary, graph])
        servers = ServerWatch(primary, replicas, clock)
        pools = {"writer": writer, "primary": primary, "primary-graph": graph} | {
            replica.name: replica.pool for replica in replicas
        }

        # What answers no reads asks no replica and hears no notifications: it has nothing to tell of them.
        reads = Role.WEB in settings.roles

        def figures() -> StoreFigures:
            return StoreFigures(
                pools=[pool_figures(name, pool) for name, pool in pools.items()],
                replicas=servers.figures() if reads else (),
                primary_answers=source.primary_answers if reads else None,
                redis_used=None if nodes is None else nodes.used,
                memory_on=memory.is_on if reads else None,
                memory_bytes=memory.size_bytes,
                memory_entries=len(memory),
                invalidations_pending=len(pending),
            )

        self.figures = figures
        kept = KeptTrees(memory, clock, max_bytes=settings.answer_cache_mb * _MIB)
        self._audit(settings, audited, kept, keyspace)
        shared = SharedLevel(self.cache, pending, source)
        budget = _budget(settings)
        fragments = FragmentLoader(
            memory,
            shared,
            keyspace,
            source,
            clock,
            budget=budget,
            hooks=hooks,
        )
        if reads:
            behind = {
                "memory-renewal": Renewal(memory, shared, keyspace).run(),
                "memory-refill": Refill(memory, fragments, clock).run(),
                "server-watch": servers.run(),
                "lineage-watch": LineageWatch(self._lineage, primary, replicas).run(),
            }
            for name, work in behind.items():
                close(_cancel, asyncio.create_task(work, name=name))
        self.reader = CachedGraphReader(
            fragments,
            ListLoader(memory, shared, source, clock, hooks=hooks),
            kept,
            keyspace,
            clock,
            budget=budget,
            retention_months=settings.temporal_retention_months,
        )

    def _open_cache(
        self, settings: Settings, keyspace: Keyspace, memory: Memory, clock: Clock
    ) -> tuple[RedisNodes | None, Notifications | None, list[AuditedLevel]]:
        """The client of Redis, the channel between workers, and the levels that an audit compares.

        A worker whose cache is off reads from none of them, and drops what it changes from all.
        """
        if not settings.redis_nodes:
            self.cache = NoCache()
            return None, None, []
        close = self._resources.push_async_callback
        nodes = RedisNodes(
            settings.redis_nodes,
            timeout_s=settings.redis_timeout_s,
            clock=clock,
            security=RedisSecurity.of(settings),
        )
        close(nodes.close)
        self.probes.append(RedisProbe(nodes))
        notifications = Notifications(nodes, keyspace, memory, clock, timeout_s=settings.redis_timeout_s)
        close(notifications.close)
        in_redis = RedisCache(nodes, keyspace, ttl_s=settings.cache_ttl_s)
        if not settings.cache_enabled:
            self.cache = UnreadCache(in_redis)
            return nodes, notifications, []
        self.cache = in_redis
        if Role.WEB in settings.roles:
            notifications.start()
        random = Random()  # noqa: S311 - it chooses what to look at
        audited: list[AuditedLevel] = [
            RedisEntries(nodes, keyspace, random),
            MemoryEntries(memory, keyspace, random),
        ]
        return nodes, notifications, audited

    def _write(
        self,
        settings: Settings,
        writer: asyncpg.Pool,
        pending: PendingInvalidations,
        ledger: ErasureLedger,
        *,
        clock: Clock,
        hooks: Hooks,
    ) -> None:
        """What changes the graph."""
        acquire_s = settings.postgres_acquire_timeout_s
        self.writer = written = PostgresWriter(
            writer,
            pending,
            ledger,
            acquire_timeout_s=acquire_s,
            limits=_entity_limits(settings),
            provenance=settings.provenance,
            room=self._room,
            hooks=hooks,
        )
        self._lineage.on_move(written.moved, [])
        self.pieces = pieces = PieceLimits(
            rows=settings.erasure_piece_rows, rows_per_s=settings.erasure_rows_per_s, slot=settings.cdc_slot
        )
        self.deletions = PostgresDeletions(
            writer, pending, acquire_timeout_s=acquire_s, pieces=pieces, hooks=hooks
        )
        self.eraser = PostgresEraser(
            writer, pending, ledger, self.deletions, piece_rows=pieces.rows, acquire_timeout_s=acquire_s
        )
        self.erasure_transfer = PostgresErasureTransfer(
            writer, pending, ledger, piece_rows=pieces.rows, acquire_timeout_s=acquire_s
        )
        self.old_points = OldPoints(writer, pending, clock, acquire_timeout_s=acquire_s)
        self.placeholders = PostgresPlaceholderMerger(
            writer, pending, acquire_timeout_s=acquire_s, pieces=pieces, hooks=hooks
        )

    def _audit(
        self, settings: Settings, levels: list[AuditedLevel], kept: KeptTrees, keyspace: Keyspace
    ) -> None:
        budget = _budget(settings)
        trees = AuditedTrees(kept, self._source, Random(), budget=budget)  # noqa: S311 - it chooses trees
        self.auditor = CacheAuditor(
            levels, self._source, keyspace, self.invalidator, budget=budget, trees=trees
        )

    def _ask(self, settings: Settings, primary: asyncpg.Pool, acquire_s: float) -> None:
        """What reads from the primary alone. `slots` makes and drops them in commands of operators alone."""
        self._server_clock = partial(primary_clock, primary, acquire_timeout_s=acquire_s, of="server_clock")
        self.directory = PostgresDirectory(primary, acquire_timeout_s=acquire_s)
        self.commit_log = PostgresCommitLog(primary, acquire_timeout_s=acquire_s)
        self.slots = PostgresSlots(primary, acquire_timeout_s=acquire_s)
        self.snapshots = PostgresSnapshots(primary, acquire_timeout_s=acquire_s)
        self.stated = PostgresStatedProperties(primary, acquire_timeout_s=acquire_s)
        self.preview = PostgresPreview(primary, limits=_entity_limits(settings), acquire_timeout_s=acquire_s)
        self.exporter = PostgresExporter(primary, acquire_timeout_s=acquire_s)

    def _note(
        self, settings: Settings, writer: asyncpg.Pool, ledger: ErasureLedger, acquire_s: float
    ) -> None:
        """What asks the ledger, and writes notes beside it."""
        self.erasures = PostgresErasureRegister(writer, ledger, acquire_timeout_s=acquire_s)
        self.log_notes = PostgresLogNotes(writer, acquire_timeout_s=acquire_s)
        self.attempts = PostgresAttempts(writer, settings.group_id)
        self.published_notes = PostgresNoteRegister(writer, acquire_timeout_s=acquire_s)

    async def _open_pools(
        self, settings: Settings, clock: Clock
    ) -> tuple[asyncpg.Pool, asyncpg.Pool, list[Replica]]:
        """Of writes, of reads on the primary, and of each replica."""
        close = self._resources.push_async_callback
        writer = await open_writer(settings, self._lineage.check)
        close(_close_pool, writer)
        dsn = settings.read_dsn.get_secret_value()
        primary = await open_reader(
            dsn, settings, self._lineage.check, name="primary", size=settings.postgres_primary_pool_size
        )
        close(_close_pool, primary)
        # Probes have connections of their own: where all others are busy the server is well.
        asked = await open_reader(dsn, settings, self._lineage.check, name="probe-primary", size=_PROBING)
        close(_close_pool, asked)
        self.probes = [
            PostgresProbe("postgres-primary", asked, primary=asked, lacking_room=lambda: self._room.lacking)
        ]
        replicas = []
        for number, secret in enumerate(settings.postgres_replica_dsns, start=1):
            name = f"postgres-replica-{number}"
            pool = await open_reader(
                secret.get_secret_value(), settings, name=f"replica-{number}", limit_s=REPLICA_TIMEOUT_S
            )
            close(_close_pool, pool)
            replicas.append(Replica(name, pool, clock))
            asked_too = await open_reader(
                secret.get_secret_value(), settings, name=f"probe-{number}", size=_PROBING
            )
            close(_close_pool, asked_too)
            self.probes.append(PostgresProbe(name, asked_too, primary=asked))
        return writer, primary, replicas

    async def _open_reads(self, settings: Settings) -> asyncpg.Pool:
        """Of reads of the graph on the primary, whose statements end earlier than those of all others."""
        pool = await open_reader(
            settings.read_dsn.get_secret_value(),
            settings,
            self._lineage.check,
            name="primary-graph",
            size=settings.postgres_primary_pool_size,
            limit_s=PRIMARY_TIMEOUT_S,
        )
        self._resources.push_async_callback(_close_pool, pool)
        return pool

    async def position(self) -> int | None:
        """The primary's flush position now; None while it is down."""
        return await self._source.position()

    async def server_clock(self) -> datetime:
        """The clock of the primary itself, in UTC. Raises TransientError or FatalError."""
        return await self._server_clock()

    async def close(self) -> None:
        """Close everything, in reverse order."""
        await self._resources.aclose()


def _budget(settings: Settings) -> Budget:
    return Budget(
        nodes=settings.graph_node_budget,
        edges=settings.graph_edge_budget,
        points=settings.graph_point_budget,
        size_bytes=settings.graph_byte_budget,
        points_of_entity=settings.graph_points_of_entity,
    )


def _entity_limits(settings: Settings) -> EntityLimits:
    return EntityLimits(
        properties=settings.max_properties_per_entity, property_bytes=settings.max_entity_bytes
    )


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _close_pool(pool: asyncpg.Pool) -> None:
    # terminate: a statement that hangs must not hold up the end of the process.
    pool.terminate()
