"""`bench-provenance`: what it costs a writer to keep where properties came from, window by window.

Two writers in this process, with and without, take turns with windows of the same size, each of entities of its own. A
window's CPU is that of this process and of both sessions in PostgreSQL, which other processes of a busy machine disturb
far less than the time; WAL is the whole server's, so nobody else should write. The data stays in the database.
"""

import argparse
import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final, NamedTuple

import asyncpg

from app.config.settings import Role, Settings
from load.bench.ingest_workloads import WORKLOADS, Workload, records
from load.generate.options import positive
from load.generate.sending import Message
from load.measure.bare_loop import properties
from storage.stores import Stores

_ON: Final = True
_SIDES: Final = (_ON, not _ON)
_FIRST_OFFSET: Final = 1_000_000  # as long as those of a topic that is in use
_PARTITIONS: Final = 4


class Cost(NamedTuple):
    """Of one window."""

    cpu_ms: float
    ms: float
    wal_bytes: float


@dataclass(frozen=True, slots=True)
class _Record:
    value: bytes
    offset: int
    topic: str = "entity-properties"

    @property
    def partition(self) -> int:
        return self.offset % _PARTITIONS

    @property
    def timestamp(self) -> int:
        return 1_736_937_000_123


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--records", type=positive, default=40_000, help="per round (default %(default)s)")
    parser.add_argument("--window", type=positive, default=2_500, help="records (default %(default)s)")
    parser.add_argument("--rounds", type=positive, default=3, help="(default %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Measure and print a Markdown table."""
    found = asyncio.run(_measure(args.records, args.window, args.rounds))
    print(f"\nWindows of {args.window:,} records; medians of pairs (first to third quartile)\n")
    print("| workload | pairs | CPU ms per 1,000 | CPU, with ÷ without | time | WAL bytes a record |")
    print("|---|---|---|---|---|---|")
    for workload, pairs in found.items():
        sides = [[pair[side] for pair in pairs] for side in (0, 1)]
        cpu = [f"{1000 * median(cost.cpu_ms for cost in side) / args.window:.1f}" for side in sides]
        # The first quartile, since the first change of a page after a checkpoint writes all of it.
        wal = [f"{quantiles([cost.wal_bytes for cost in side], n=4)[0] / args.window:,.0f}" for side in sides]
        ratios = [
            _ratio([each.cpu_ms / other.cpu_ms for each, other in pairs]),
            _ratio([each.ms / other.ms for each, other in pairs]),
        ]
        print(
            f"| {workload} | {len(pairs)} | {cpu[0]}, {cpu[1]} | {ratios[0]} | {ratios[1]} | {wal[0]}, {wal[1]} |"
        )
    return 0


def _ratio(values: Sequence[float]) -> str:
    first, middle, third = quantiles(values, n=4)
    return f"{middle:.2f} ({first:.2f} to {third:.2f})"


async def _measure(count: int, window: int, rounds: int) -> dict[Workload, list[tuple[Cost, Cost]]]:
    base = Settings(roles=[Role.ENTITY_PROPERTIES], cache_enabled=False)
    stores = {side: await Stores.open(base.model_copy(update={"provenance": side})) for side in _SIDES}
    sql = await asyncpg.connect(base.postgres_dsn.get_secret_value())
    started = int(time.time())
    found: dict[Workload, list[tuple[Cost, Cost]]] = defaultdict(list)
    try:
        for turn in range(rounds):
            for workload in WORKLOADS:
                told = {
                    side: records(Role.ENTITY_PROPERTIES, workload, count, f"pairs-{started}-{turn}-{side}")
                    for side in _SIDES
                }
                for number, start in enumerate(range(0, count - window + 1, window)):
                    costs = {}
                    for side in _SIDES if number % 2 == 0 else _SIDES[::-1]:
                        part = told[side][start : start + window]
                        costs[side] = await _cost(stores[side], sql, part, _FIRST_OFFSET + start)
                    found[workload].append((costs[_ON], costs[not _ON]))
    finally:
        for opened in stores.values():
            await opened.close()
        await sql.close()
    return found


async def _cost(
    stores: Stores, sql: "asyncpg.Connection[Any]", told: Sequence[Message], first_offset: int
) -> Cost:
    position = "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint"
    wal, cpu, started = await sql.fetchval(position), await _cpu_ms(sql), time.perf_counter()
    batch = properties([_Record(message.value, first_offset + n) for n, message in enumerate(told)])
    await stores.writer.write(batch)
    ms = 1000 * (time.perf_counter() - started)
    return Cost(await _cpu_ms(sql) - cpu, ms, await sql.fetchval(position) - wal)


async def _cpu_ms(sql: "asyncpg.Connection[Any]") -> float:
    """Of this process, and of its writers' sessions so far: a new one begins at nothing."""
    sessions = await sql.fetch(
        "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'user-profile writer%' "
        "AND datname = current_database()"
    )
    return 1000 * time.process_time() + sum(_ran_ms(row["pid"]) for row in sessions)


def _ran_ms(pid: int) -> float:
    # In nanoseconds; load.measure.cpu has ticks of 10 ms, which are too long for a window.
    return int(Path(f"/proc/{pid}/schedstat").read_text("ascii").split()[0]) / 1e6
