"""`bench-ingest`: records per second of the agents beside a bare and a naive consumer loop, in one run.

Each reader is a process of its own with a topic prefix and a consumer group of its own. In each round it meets
three workloads one after the other: all records new, a tenth of them changed, all unchanged. The rate is taken
between the first and the last offset that the group committed, so that starting and joining do not count. The
data stays in the database; the topics are deleted.
"""

import argparse
import asyncio
import time
from collections import defaultdict
from statistics import median

from app.config.settings import Role, Settings
from load.bench.ingest_workloads import WORKLOADS, records
from load.generate.options import positive
from load.measure.bare_loop import DECODERS
from load.measure.commits import Speed
from load.measure.readers import measure, readers
from load.measure.spread import spread

_LABELS = ("agent", "bare", "uncached", "unsourced", "naive")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--records", type=positive, default=100_000, help="per topic (default %(default)s)")
    parser.add_argument("--rounds", type=positive, default=3, help="of all readers (default %(default)s)")
    parser.add_argument("--seed", type=int, help="of the data (default: the time, so that all is new)")
    parser.add_argument("--timeout", type=positive, default=240, help="seconds per reader (default 240)")
    parser.add_argument(
        "--role", choices=[role.value for role in DECODERS], action="append", help="(default: all three)"
    )
    parser.add_argument(
        "--reader", choices=_LABELS, action="append", help="(default: all; ratios need agent and another)"
    )


def run(args: argparse.Namespace) -> int:
    """Measure and print a Markdown table for each topic."""
    seed = int(time.time()) if args.seed is None else args.seed
    for role in [Role(name) for name in args.role or DECODERS]:
        found: dict[tuple[str, str], list[Speed]] = defaultdict(list)
        chosen = [reader for reader in readers(role) if reader.label in (args.reader or _LABELS)]
        for turn in range(args.rounds):
            # Who comes later may find warmer caches, a larger database or a busier machine.
            for reader in chosen if turn % 2 == 0 else chosen[::-1]:
                name = f"bench-{seed}-{turn}-{role}-{reader.label}"
                for workload in WORKLOADS:
                    group = f"{name}-{workload}"
                    settings = Settings(topic_prefix=f"{group}.", app_id=group, roles=[role])
                    told = records(role, workload, args.records, name)
                    speed = asyncio.run(measure(reader, role, settings, told, timeout_s=args.timeout))
                    found[reader.label, workload].append(speed)
        print(_table(role, args.records, [reader.label for reader in chosen], found), flush=True)
    return 0


def _table(role: Role, count: int, labels: list[str], found: dict[tuple[str, str], list[Speed]]) -> str:
    lines = [
        f"\n{role}, {count:,} records, medians of {len(found[labels[0], 'new'])} rounds (least to most)\n",
        "| workload | reader | records/s | to agent | CPU s per 1,000 records |",
        "|---|---|---|---|---|",
    ]
    for workload in WORKLOADS:
        for label in labels:
            speeds = found[label, workload]
            rates = [speed.records_per_s for speed in speeds]
            ratio = "1"
            if label != "agent" and "agent" in labels:
                pairs = zip(found["agent", workload], speeds, strict=True)
                ratio = spread(
                    [agent.records_per_s / other.records_per_s for agent, other in pairs], "{:.2f}"
                )
            cpu = median(speed.cpu_s_per_1000 for speed in speeds)
            lines.append(f"| {workload} | {label} | {spread(rates, '{:,.0f}')} | {ratio} | {cpu:.3f} |")
    return "\n".join(lines)
