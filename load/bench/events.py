"""`bench-events`: changes per second of the whole way from a commit to its domain event, and how long one takes.

PostgreSQL → Debezium → Kafka → the CDC agent → the topic of domain events, with topics, a connector and a slot of
its own, on the database of the settings. A burst before all others warms the JVMs up and is told apart: where Connect
has just started, it shows what compiling costs. Three measurements in each round: a *burst* of commits that come
faster than they can be published, *steady* commits, and *statements* to entity-properties, which an agent writes
first. The data stays in the database; the topics, the connector and its slot are removed.
"""

import argparse
import asyncio
import os
import time
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from aiokafka import AIOKafkaProducer

from app.config.settings import Role
from app.core import dates
from app.kafka.client import client_options
from load.bench.events_pipeline import Pipeline, paced, pipeline
from load.generate import messages
from load.generate.options import positive
from load.generate.world import Fact
from load.measure.latency import Arrival, delays, percentile, rate
from load.measure.spread import spread
from load.measure.stage_cpu import StageCpu

_FIELD: Final = "bench_sent_at"
MEASUREMENTS: Final = ("burst", "steady", "statements")
AIM_MS: Final = 1_000  # of p99, from a record of a normalised topic
_FROM: Final = {"steady": "the commit", "statements": "the record of entity-properties"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """`cpu_s` is that of each process on the way for 1,000 events; `load` the machine's when it began."""

    events_per_s: float
    p50_s: float
    p99_s: float
    cpu_s: Mapping[str, float]
    load: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--changes", type=positive, default=50_000, help="of the burst (default %(default)s)")
    parser.add_argument(
        "--transaction", type=positive, default=500, help="changes in one (default %(default)s)"
    )
    parser.add_argument("--rate", type=positive, default=500, help="changes/s, steady (default %(default)s)")
    parser.add_argument("--seconds", type=positive, default=20, help="of steady load (default %(default)s)")
    parser.add_argument(
        "--warm-up",
        type=positive,
        default=20_000,
        help="changes of a burst before the others, while the JVMs compile what they run (default %(default)s)",
    )
    parser.add_argument("--rounds", type=positive, default=3, help="(default %(default)s)")
    parser.add_argument("--timeout", type=positive, default=240, help="seconds for the events (default 240)")
    parser.add_argument("--only", choices=MEASUREMENTS, action="append", help="(default: all three)")


def run(args: argparse.Namespace) -> int:
    """Measure and print a Markdown table."""
    found = asyncio.run(measure(args))
    print(table(args, found), flush=True)
    return 0


async def measure(args: argparse.Namespace) -> dict[str, list[Measured]]:
    """Each measurement as often as there are rounds, on one pipeline."""
    name = f"bench-{int(time.time())}"
    chosen = args.only or list(MEASUREMENTS)
    found: dict[str, list[Measured]] = {measurement: [] for measurement in ("warm-up", *chosen)}
    async with pipeline(name, [Role.CDC, Role.ENTITY_PROPERTIES]) as made:
        stages = await made.cpu()
        short = argparse.Namespace(**vars(args) | {"changes": args.warm_up})
        found["warm-up"].append(await _measured(made, stages, _burst(made, short, f"{name}-warm-up")))
        for turn in range(args.rounds):
            for measurement in chosen:
                arrivals = _MEASURES[measurement](made, args, f"{name}-{turn}")
                found[measurement].append(await _measured(made, stages, arrivals))
    return found


async def _measured(made: Pipeline, stages: StageCpu, measuring: Awaitable[Sequence[Arrival]]) -> Measured:
    load, before = os.getloadavg()[0], stages.seconds()
    arrivals = await measuring
    used, waits = stages.seconds(), delays(arrivals)
    return Measured(
        events_per_s=rate(arrivals),
        p50_s=percentile(waits, 0.5),
        p99_s=percentile(waits, 0.99),
        cpu_s={label: 1000 * (after - before[label]) / len(arrivals) for label, after in used.items()},
        load=load,
    )


def table(args: argparse.Namespace, found: dict[str, list[Measured]]) -> str:
    """What was measured, in Markdown, as load/RESULTS.md has it."""
    bursts = {name: rounds for name, rounds in found.items() if name in ("warm-up", "burst")}
    paced_ones = {_FROM[name]: rounds for name, rounds in found.items() if name in _FROM}
    parts = [f"\nMedians of {args.rounds} rounds (least to most); *load*: the machine's when a round began."]
    if bursts:
        told = f"{args.changes:,} changes by {args.transaction:,} in a commit, as fast as they are committed"
        parts.append(
            f"\nThroughput: {told}. Events wait for those before them, so times here are queueing.\n"
        )
        parts.append(_rows("measurement", bursts))
    if paced_ones:
        parts.append(
            f"\nTime to the domain event: {args.rate:,} changes/s for {args.seconds} s (aim: p99 {AIM_MS:,} ms).\n"
        )
        parts.append(_rows("from", paced_ones))
    parts.append("\nCPU s for 1,000 events\n")
    stages = list(next(iter(found.values()))[0].cpu_s)
    lines = [f"| measurement | {' | '.join(stages)} |", "|---" * (len(stages) + 1) + "|"]
    for measurement, rounds in found.items():
        cells = [spread([each.cpu_s[stage] for each in rounds], "{:.3f}") for stage in stages]
        lines.append(f"| {measurement} | {' | '.join(cells)} |")
    return "\n".join([*parts, *lines])


def _rows(first: str, found: Mapping[str, Sequence[Measured]]) -> str:
    lines = [f"| {first} | events/s | p50 ms | p99 ms | load |", "|---|---|---|---|---|"]
    for name, rounds in found.items():
        cells = [
            spread([each.events_per_s for each in rounds], "{:,.0f}"),
            spread([1000 * each.p50_s for each in rounds], "{:,.0f}"),
            spread([1000 * each.p99_s for each in rounds], "{:,.0f}"),
            spread([each.load for each in rounds], "{:.1f}"),
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


async def _burst(made: Pipeline, args: argparse.Namespace, name: str) -> Sequence[Arrival]:
    """Half entities, half relationships between them, so that ids become business keys."""
    half = args.transaction // 2 or 1
    rounds = max(1, args.changes // (2 * half))
    reading = asyncio.create_task(
        made.arrivals(2 * half * rounds, _committed_of(name), timeout_s=args.timeout)
    )
    for number in range(rounds):
        references = [f"{name}-{number}-{each}" for each in range(half)]
        async with made.sql.transaction():
            rows = await made.sql.fetch(
                "INSERT INTO entities (type, reference) SELECT 'bench', unnest($1::text[]) RETURNING id",
                references,
            )
            await made.sql.execute(
                "INSERT INTO edges (left_entity_id, right_entity_id, relationship_type) "
                "SELECT id, $2, 'knows' FROM unnest($1::bigint[]) AS t (id)",
                [row["id"] for row in rows],
                rows[0]["id"],
            )
    return await reading


async def _steady(made: Pipeline, args: argparse.Namespace, name: str) -> Sequence[Arrival]:
    """Commits of one row each."""
    name = f"{name}-steady"
    count = args.rate * args.seconds
    reading = asyncio.create_task(made.arrivals(count, _committed_of(name), timeout_s=args.timeout))

    async def commit(number: int) -> None:
        await made.sql.execute(
            "INSERT INTO entities (type, reference) VALUES ('bench', $1)", f"{name}-{number}"
        )

    await paced(args.rate, args.seconds, commit)
    return await reading


async def _statements(made: Pipeline, args: argparse.Namespace, name: str) -> Sequence[Arrival]:
    """Records of entity-properties, each about an entity of its own, so that no two are one change."""
    count = args.rate * args.seconds
    producer = AIOKafkaProducer(**client_options(made.settings.kafka), linger_ms=1)
    await producer.start()
    try:
        reading = asyncio.create_task(made.arrivals(count, _sent_of(name), timeout_s=args.timeout))

        async def send(number: int) -> None:
            sent_s = time.time()
            at = datetime.fromtimestamp(sent_s, UTC)
            told = messages.statement("bench", f"{name}-user-{number}", Fact(_FIELD, sent_s, at))
            await producer.send(
                made.settings.topics.entity_properties,
                told.value,
                key=told.key,
                timestamp_ms=dates.to_epoch_ms(at),
            )

        await paced(args.rate, args.seconds, send)
        return await reading
    finally:
        await producer.stop()


def _committed_of(name: str) -> Any:
    """An event of this run: begun at its commit, in milliseconds."""
    wanted = f"bench:{name}-".encode()
    return lambda record: record.timestamp / 1000 if record.key.startswith(wanted) else None


def _sent_of(name: str) -> Any:
    """An event of this run: begun at the time that it tells."""
    wanted = f"bench:{name}-user-".encode()

    def begun(record: Any) -> float | None:
        if not record.key.startswith(wanted):
            return None
        change = orjson.loads(record.value)["data"]["properties"].get(_FIELD)
        return None if change is None else float(change["new"]["value"])

    return begun


_MEASURES: Final = {"burst": _burst, "steady": _steady, "statements": _statements}
