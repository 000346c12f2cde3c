"""Everything on a hot path that asks PostgreSQL, run once on a filled database, with the plan of each statement."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from app.config.settings import Settings
from app.core import dates
from app.core.clock import SystemClock
from app.core.models import Batch, EdgeRow, EntityKey, EntityRow, PropertyRow, TemporalRow
from load.measure.plans import ExplainedPool, Plan, PlanLog
from storage.cache.invalidation import CacheInvalidator, PendingInvalidations
from storage.cache.keyspace import Keyspace
from storage.cache.memory import MemoryCache
from storage.cache.shared import NoCache
from storage.postgres.entity_directory import PostgresDirectory
from storage.postgres.pools import open_reader, open_writer
from storage.postgres.positioned import Ask
from storage.postgres.queries import query
from storage.read import graph_queries
from storage.read.budget import Budget
from storage.write.entity_limits import EntityLimits
from storage.write.erasure_ledger import ErasureLedger
from storage.write.preview import PostgresPreview
from storage.write.room import Room
from storage.write.writer import PostgresWriter

if TYPE_CHECKING:
    import asyncpg

_BATCH = 1_000
_ACQUIRE_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """An entity of the database: its id, its key and its e-mail address."""

    id: int
    key: EntityKey
    email: str


async def run(settings: Settings, known: Sequence[Known]) -> dict[str, list[Plan]]:
    """The plans by what was done; at least two entities of the database are to be known."""
    async with _opened(settings) as (log, reader, writer):
        found: dict[str, list[Plan]] = {}

        async def ask(name: str, question: Ask[Any]) -> None:
            async with reader.acquire(timeout=_ACQUIRE_S) as connection:
                log.clear()
                await question(connection, 0)
                found[name] = log.plans.copy()

        some, few = known[0], [each.id for each in known[:20]]
        budget = Budget(
            nodes=settings.graph_node_budget,
            size_bytes=settings.graph_byte_budget,
            points_of_entity=settings.graph_points_of_entity,
        )
        tree = graph_queries.graph([some.id], levels=10, budget=budget)
        await ask("a cold tree", tree)
        await ask("20 fragments", graph_queries.graph(few, levels=0, budget=budget))
        await ask("by property", graph_queries.ids_with("email.address", some.email, after=0, limit=1001))
        await ask("by reference", graph_queries.id_of(some.key))

        async def listed(name: str, *arguments: object) -> None:
            async with reader.acquire(timeout=_ACQUIRE_S) as connection:
                log.clear()
                await connection.fetch(query(name), *arguments)
                found[name] = log.plans.copy()

        await listed("entities_after", some.id, 101)
        await listed("entities_of_type_after", some.id, 101, some.key.type)

        directory = PostgresDirectory(cast("asyncpg.Pool", reader), acquire_timeout_s=_ACQUIRE_S)
        log.clear()
        await directory.keys_of(few)
        found["ids to keys"] = log.plans.copy()
        log.clear()
        await directory.types_of([each.key.reference for each in known[:20]])
        found["types of references"] = log.plans.copy()

        old = datetime(2000, 1, 1, tzinfo=UTC)
        new = datetime.now(UTC)
        for name, batch in (
            ("a flush that changes nothing", _batch(known, old)),
            ("a flush of changes", _batch(known, new)),
            ("a flush of new entities", _batch(_unknown(), new)),
        ):
            log.clear()
            await writer.write(batch)
            found[name] = log.plans.copy()
        preview = PostgresPreview(
            cast("asyncpg.Pool", reader), limits=_limits(settings), acquire_timeout_s=_ACQUIRE_S
        )
        log.clear()
        await preview.preview(_batch(known[:20], new))
        found["a dry run"] = log.plans.copy()
        return found


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[tuple[PlanLog, ExplainedPool, PostgresWriter]]:
    log = PlanLog()
    dsn = settings.postgres_dsn.get_secret_value()
    reading = await open_reader(dsn, settings, name="plans")
    writing = await open_writer(settings)
    memory: MemoryCache[Any] = MemoryCache(SystemClock(), max_bytes=1)
    pending = PendingInvalidations(CacheInvalidator(NoCache(), Keyspace("plans"), memory, None))
    try:
        writer = PostgresWriter(
            cast("asyncpg.Pool", ExplainedPool(writing, log)),
            pending,
            ErasureLedger(settings.erasure_key.get_secret_value()),
            acquire_timeout_s=_ACQUIRE_S,
            limits=_limits(settings),
            provenance=settings.provenance,
            room=Room(SystemClock()),
        )
        yield log, ExplainedPool(reading, log), writer
    finally:
        await pending.close()
        reading.terminate()
        writing.terminate()


def _limits(settings: Settings) -> EntityLimits:
    return EntityLimits(
        properties=settings.max_properties_per_entity, property_bytes=settings.max_entity_bytes
    )


def _unknown() -> list[Known]:
    return [
        Known(id=0, key=EntityKey("user", f"plans-{n}"), email=f"plans-{n}@example.com")
        for n in range(_BATCH)
    ]


def _batch(known: Sequence[Known], date: datetime) -> Batch:
    """A property, a relationship and a point of each, as told at a date."""
    known = known[:_BATCH]
    start, period = dates.period_of(date, "month")
    told = [(each.key.type, each.key.reference) for each in known]
    return Batch(
        entities=[EntityRow(*key, date) for key in told],
        properties=[PropertyRow(*key, "planned", '"x"', dates.to_text(date), date) for key in told],
        edges=[
            EdgeRow(*key, *other, "plans_with", None, date)
            for key, other in zip(told, told[1:] + told[:1], strict=True)
        ],
        temporal=[
            TemporalRow(*key, "planned", "month", start, period, date, 0, '{"n": 1}', date) for key in told
        ],
    )
