"""`bench-mixed`: warm reads at a fixed rate while a worker with all roles takes three topics in and CDC follows.

Records lie in topics of the run's own, in a transaction that ends when the trees to be read are warm; from then on the
worker takes them in at full speed. Meanwhile readers ask, in turns of a few seconds, the service and a bare handler in
a process of its own: under the same load, so that the times of both, and the ingestion beside each, can be compared. A
worker with one process and one with several take turns. The data stays in the database; topics, connector and slot are
removed.
"""

import argparse
import asyncio
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import uvloop
from aiokafka.admin import AIOKafkaAdminClient

from app.kafka.client import client_options
from load.bench import cold, imports, reads
from load.bench.beside_ingestion import INGESTING, environment, hold_back, new_records, warm
from load.bench.events_pipeline import captured, settings_of
from load.errors import LoadError
from load.generate.options import positive
from load.measure.bare_server import bare_server
from load.measure.cpu import family_s
from load.measure.fetching import fetch
from load.measure.latency import percentile
from load.measure.open_loop import OpenLoop
from load.measure.readers import committed
from load.measure.spread import spread
from load.measure.web_worker import web_worker

PARTS: Final = ("ingestion", "cold", "mix", "import")
SERVICE: Final = "service"
BARE: Final = "bare aiohttp"
_RECORDS: Final = 100_000  # of each topic
_LEAST: Final = 0.1  # of what a ratio is told: no change was published beside some readers
_ORDER: Final = (BARE, SERVICE, SERVICE, BARE)


@dataclass(kw_only=True)
class Found:
    """What was seen beside the readers of one server, a number for each turn."""

    p50_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    ingested_per_s: list[float] = field(default_factory=list)
    changes_per_s: list[float] = field(default_factory=list)
    cores: list[float] = field(default_factory=list)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--part",
        choices=PARTS,
        default="ingestion",
        help="reads beside ingestion; the mix from empty caches; the mix beside writes; a large import",
    )
    parser.add_argument(
        "--records",
        type=positive,
        help="per topic (100,000), of an import all (1,000,000), of a backlog (80,000)",
    )
    parser.add_argument("--rate", type=positive, default=200, help="reads a second (default %(default)s)")
    parser.add_argument("--seconds", type=positive, default=5, help="of a turn (default %(default)s)")
    parser.add_argument("--rounds", type=positive, default=2, help="of all workers (default %(default)s)")
    parser.add_argument(
        "--timeout", type=positive, default=1_800, help="seconds of an import (default %(default)s)"
    )
    parser.add_argument(
        "--processes", action="append", help="of PROFILE_PROCESSES (default: 1 and auto, in turns)"
    )


def run(args: argparse.Namespace) -> int:
    """Measure and print Markdown; 1 where something falls short of what is wanted."""
    match args.part:
        case "cold":
            return cold.run(args.records or 80_000, args.rounds)
        case "mix":
            return _mix(args)
        case "import":
            processes = (args.processes or ["auto"])[0]
            return imports.run(
                args.records or 1_000_000, rate=args.rate, timeout_s=args.timeout, processes=processes
            )
        case _:
            return _beside_ingestion(args)


def _mix(args: argparse.Namespace) -> int:
    """The mix of the k6 test, as `bench-reads --mix` measures it."""
    parser = argparse.ArgumentParser()
    reads.add_arguments(parser)
    options = ["--mix", "--seconds", str(args.seconds), "--rounds", str(args.rounds)]
    return reads.run(parser.parse_args(options))


def _beside_ingestion(args: argparse.Namespace) -> int:
    variants = args.processes or ["1", "auto"]
    found: dict[str, dict[str, Found]] = defaultdict(lambda: defaultdict(Found))
    seed = int(time.time())
    for turn in range(args.rounds):
        # Who comes later may find a larger database or a busier machine.
        for variant in variants if turn % 2 == 0 else variants[::-1]:
            name = f"mixed-{seed}-{turn}-{variants.index(variant)}"
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(_measure(name, variant, args, found[variant]))
            print(_table(args, {variant: found[variant]}), flush=True)
    print(_table(args, found), flush=True)
    return 0


async def _measure(name: str, processes: str, args: argparse.Namespace, found: dict[str, Found]) -> None:
    settings = settings_of(name)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(captured(settings))
        waiting = await hold_back(settings, new_records(settings, args.records or _RECORDS))
        stack.push_async_callback(waiting.stop)
        worker = stack.enter_context(web_worker(environment(settings, processes)))
        paths = warm(worker.url, name)
        bodies = [fetch(worker.url + path) for path in paths]
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        bare = stack.enter_context(bare_server(bodies, Path(directory) / "bodies.json"))
        admin = AIOKafkaAdminClient(**client_options(settings.kafka))
        await admin.start()
        stack.push_async_callback(admin.close)
        readers = {
            label: await stack.enter_async_context(OpenLoop(url, paths))
            for label, url in ((SERVICE, worker.url), (BARE, bare.url))
        }

        async def progress() -> tuple[float, int, int]:
            sums = [await committed(admin, settings, topic) for topic in settings.topics.normalised]
            return time.monotonic(), sum(sums), await committed(admin, settings, settings.topics.cdc)

        await waiting.commit_transaction()
        while (await progress())[1] == 0:  # noqa: ASYNC110 - the worker says nothing of it
            await asyncio.sleep(0.1)
        for label in _ORDER:
            before, cpu_s = await progress(), family_s(worker.pid)
            times = await readers[label].run(args.rate, args.seconds)
            after = await progress()
            _note(found[label], times, before, after, family_s(worker.pid) - cpu_s)
            if after[1] == (args.records or _RECORDS) * len(INGESTING):
                raise LoadError("All records were taken in before the end; use more --records.")


def _note(
    found: Found,
    times: Sequence[float],
    before: tuple[float, int, int],
    after: tuple[float, int, int],
    cpu_s: float,
) -> None:
    seconds = after[0] - before[0]
    found.p50_ms.append(1000 * percentile(times, 0.5))
    found.p99_ms.append(1000 * percentile(times, 0.99))
    found.ingested_per_s.append((after[1] - before[1]) / seconds)
    found.changes_per_s.append((after[2] - before[2]) / seconds)
    found.cores.append(cpu_s / seconds)


def _table(args: argparse.Namespace, found: dict[str, dict[str, Found]]) -> str:
    records = args.records or _RECORDS
    lines = [
        f"\n{args.rate} reads/s, {records:,} records of each topic waiting, turns of {args.seconds} s\n",
        "| processes | readers of | p50 ms | p99 ms | records/s taken in | changes/s published | cores of the worker |",
        "|---|---|---|---|---|---|---|",
    ]
    for variant, by_label in found.items():
        for label in (BARE, SERVICE):
            each = by_label[label]
            cells = [
                spread(each.p50_ms, "{:.1f}"),
                spread(each.p99_ms, "{:.0f}"),
                spread(each.ingested_per_s, "{:,.0f}"),
                spread(each.changes_per_s, "{:,.0f}"),
                spread(each.cores, "{:.2f}"),
            ]
            lines.append(f"| {variant} | {label} | {' | '.join(cells)} |")
        lines.append(f"| {variant} | service to bare | {' | '.join(_ratios(by_label))} | |")
    return "\n".join(lines)


def _ratios(by_label: dict[str, Found]) -> list[str]:
    """Turn by turn, each with the one beside it."""
    measures: list[Callable[[Found], list[float]]] = [
        lambda each: each.p50_ms,
        lambda each: each.p99_ms,
        lambda each: each.ingested_per_s,
        lambda each: each.changes_per_s,
    ]
    ratios = []
    for of in measures:
        pairs = zip(of(by_label[SERVICE]), of(by_label[BARE]), strict=True)
        known = [ours / bare for ours, bare in pairs if bare >= _LEAST]
        ratios.append(spread(known, "{:.2f}") if known else "-")
    return ratios
