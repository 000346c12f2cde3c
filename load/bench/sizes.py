"""`bench-sizes`: latency and memory as the database grows, and the plan of each statement on a hot path.

For each size a database of its own is made, filled by COPY and dropped again. A worker with the web role reads it:
each tree once, cold, then again. Then everything that asks PostgreSQL is run with auto_explain
(load.bench.hot_statements).
"""

import argparse
import asyncio
import http.client
import random
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import quantiles
from typing import Final
from urllib.parse import quote, urlsplit

import asyncpg
from pydantic import SecretStr

from app.config.settings import Settings
from app.core.models import EntityKey
from load.bench import hot_statements
from load.bench.hot_statements import Known
from load.generate.options import positive
from load.generate.postgres import fill
from load.generate.world import World, month_start
from load.measure import cores
from load.measure.plans import Plan
from load.measure.processes import Server
from load.measure.read_samples import table
from load.measure.web_worker import web_worker
from storage.postgres.migrator import migrate

_ENTITIES_OF_A_USER: Final = 3.1
_READ: Final = 2_000  # users
_SLOW_MS: Final = 1.0  # statements that are told


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """What one database took."""

    entities: int
    database_mb: float
    rows: list[list[str]]  # what was read, and percentiles in ms
    memory_mb: tuple[float, float]  # of the worker, before and after
    plans: dict[str, list[Plan]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--entities",
        type=positive,
        action="append",
        help="about as many (default 10,000, 100,000, 1,000,000)",
    )
    parser.add_argument("--months", type=positive, default=6, help="of temporal data (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the world and of the requests (default 1)")


def run(args: argparse.Namespace) -> int:
    """Measure and print Markdown; 1 where a statement of a hot path read a whole table at the largest size."""
    found = [measure(size, args.months, args.seed) for size in args.entities or [10_000, 100_000, 1_000_000]]
    rows = [
        [
            f"{sizes.entities:,}",
            f"{sizes.database_mb:,.0f}",
            *row,
            f"{sizes.memory_mb[0]:.0f} → {sizes.memory_mb[1]:.0f}",
        ]
        for sizes in found
        for row in sizes.rows
    ]
    print(table(["entities", "database MB", "read", "p50 ms", "p99 ms", "worker MB"], rows))
    largest = found[-1]
    print(f"\nStatements at {largest.entities:,} entities\n")
    print(
        table(["path", "statements", "ms in all", "pages", "whole tables"], map(_told, largest.plans.items()))
    )
    return 1 if any(plan.whole for plans in largest.plans.values() for plan in plans) else 0


def _told(item: tuple[str, Sequence[Plan]]) -> list[str]:
    name, plans = item
    whole = sorted({table for plan in plans for table in plan.whole})
    top = max(plans, key=lambda plan: plan.ms)
    return [name, str(len(plans)), f"{top.ms:.1f}", f"{top.pages:,}", ", ".join(whole) or "none"]


def measure(entities: int, months: int, seed: int) -> Sizes:
    """Make a database of about so many entities, read it, and drop it."""
    told = Settings()
    name = f"bench_sizes_{secrets.token_hex(4)}"
    settings = of_database(told, name)
    asyncio.run(execute(told, f"CREATE DATABASE {name}"))
    try:
        known, count, megabytes = asyncio.run(_filled(settings, entities, months, seed))
        environment = {
            "PROFILE_POSTGRES_DSN": settings.postgres_dsn.get_secret_value(),
            "PROFILE_POSTGRES_READ_DSN": settings.read_dsn.get_secret_value(),
            "PROFILE_POSTGRES_WRITE_DSN": settings.write_dsn.get_secret_value(),
            "PROFILE_POSTGRES_REPLICA_DSNS": ",".join(
                dsn.get_secret_value() for dsn in settings.postgres_replica_dsns
            ),
            "PROFILE_CACHE_PREFIX": name,
            "PROFILE_MEMORY_CACHE_MB": "64",
        }
        with web_worker(environment, core=cores.of_this_machine().server) as worker:
            before = _resident_mb(worker.pid)
            rows = list(_read(worker, known, random.Random(seed)))
            after = _resident_mb(worker.pid)
        plans = asyncio.run(hot_statements.run(settings, known))
    finally:
        asyncio.run(execute(told, f"DROP DATABASE {name} WITH (FORCE)"))
    return Sizes(entities=count, database_mb=megabytes, rows=rows, memory_mb=(before, after), plans=plans)


def of_database(settings: Settings, database: str) -> Settings:
    """The settings, for another database of the same servers."""

    def named(dsn: SecretStr) -> SecretStr:
        return SecretStr(urlsplit(dsn.get_secret_value())._replace(path=f"/{database}").geturl())

    return settings.model_copy(
        update={
            "postgres_dsn": named(settings.postgres_dsn),
            "postgres_read_dsn": named(settings.read_dsn),
            "postgres_write_dsn": named(settings.write_dsn),
            "postgres_replica_dsns": [named(dsn) for dsn in settings.postgres_replica_dsns],
        }
    )


async def execute(settings: Settings, statement: str) -> None:
    """Run one statement on the primary."""
    connection = await asyncpg.connect(settings.postgres_dsn.get_secret_value())
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def _filled(
    settings: Settings, entities: int, months: int, seed: int
) -> tuple[list[Known], int, float]:
    await migrate(settings.postgres_dsn.get_secret_value())
    users = max(1, round(entities / _ENTITIES_OF_A_USER))
    world = World(seed=seed, users=users, months=months, until=month_start(datetime.now(UTC)))
    await fill(world, settings, bulk_size=2_000, writers=4)
    connection = await asyncpg.connect(settings.postgres_dsn.get_secret_value())
    try:
        await connection.execute("VACUUM ANALYZE")
        await connection.execute("CHECKPOINT")
        count = await connection.fetchval("SELECT count(*) FROM entities")
        size = await connection.fetchval("SELECT pg_database_size(current_database())")
        ids = await connection.fetch("SELECT id FROM entities WHERE type = 'user'")
        chosen = random.Random(seed).sample([row["id"] for row in ids], min(_READ, len(ids)))
        rows = await connection.fetch(
            "SELECT id, type, reference, properties #>> '{email,value,address}' AS email FROM entities "
            "WHERE id = ANY ($1::bigint[])",
            chosen,
        )
    finally:
        await connection.close()
    known = [
        Known(id=row["id"], key=EntityKey(row["type"], row["reference"]), email=row["email"]) for row in rows
    ]
    return known, count, size / 2**20


def _read(worker: Server, known: Sequence[Known], chance: random.Random) -> Iterator[list[str]]:
    trees = [f"/v1/graph/{each.id}?depth=3" for each in known]
    emails = [
        f"/v1/graph/by-property/email.address/value/{quote(each.email, safe='')}?depth=3" for each in known
    ]
    with _connection(worker) as connection:
        for name, paths in (
            ("a tree, cold", trees),
            ("the same, again", trees),
            ("by e-mail, whose tree is known", emails),
            ("the same, again", emails),
        ):
            chance.shuffle(paths)
            yield [name, *_percentiles([_timed(connection, path) for path in paths])]


@contextmanager
def _connection(worker: Server) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection(urlsplit(worker.url).netloc, timeout=10)
    try:
        yield connection
    finally:
        connection.close()


def _timed(connection: http.client.HTTPConnection, path: str) -> float:
    started = time.perf_counter()
    connection.request("GET", path)
    response = connection.getresponse()
    body = response.read()
    if response.status != http.HTTPStatus.OK or body == b"[]":
        raise RuntimeError(f"{path} answered {response.status}.")
    return 1000 * (time.perf_counter() - started)


def _percentiles(times: list[float]) -> list[str]:
    cuts = quantiles(times, n=100)
    return [f"{cuts[49]:.2f}", f"{cuts[98]:.2f}"]


def _resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text("utf-8").split()[1])
    return pages * 4096 / 2**20
