"""`bench-reads`: the paths of a read, or the k6 mix, beside a bare aiohttp handler that returns the same bodies.

Every server is one process on a core of its own; the worker is started here, with a cache that is empty and its own.
"""

import argparse
import asyncio
import tempfile
from pathlib import Path

from app.config.settings import Settings
from load.bench import read_mix_runs, read_path_runs
from load.bench.read_bench import ReadBench
from load.bench.read_paths import PATHS
from load.errors import LoadError
from load.generate.entities_csv import export
from load.generate.options import positive
from load.measure import cores, read_statements
from load.measure.server_cpu import ServerCpu
from storage.redis.cluster import RedisNodes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--mix", action="store_true", help="the mix of the k6 test instead of single paths")
    parser.add_argument("--seconds", type=positive, default=10, help="of each run (default %(default)s)")
    parser.add_argument("--rounds", type=positive, default=3, help="of all servers (default %(default)s)")
    parser.add_argument(
        "--users", type=positive, default=10_000, help="that the database must have (default %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the requests (default 1)")
    parser.add_argument(
        "--path", choices=[path.name for path in PATHS], action="append", help="(default: all)"
    )
    parser.add_argument(
        "--connections", type=positive, action="append", help="(default: 50; with --mix 50, 200 and 1,000)"
    )
    parser.add_argument(
        "--warm-up", type=positive, default=10, help="seconds of the mix, not counted (default %(default)s)"
    )
    parser.add_argument(
        "--writes", type=int, action="append", help="records/s beside the mix (default: 0, then 500)"
    )


def run(args: argparse.Namespace) -> int:
    """Measure and print Markdown; 1 where a median falls short of what is wanted."""
    settings = Settings()
    with tempfile.TemporaryDirectory() as directory:
        csv = Path(directory) / "entities.csv"
        users, email_path = export(settings, csv, limit=args.users)
        if len(users) < args.users:
            raise LoadError(
                f"The database has {len(users):,} users with an e-mail and a CPF, not {args.users:,}; "
                f"`python -m load postgres --users {args.users}` adds them."
            )
        read_statements.prepare(settings)
        bench = ReadBench(
            settings=settings,
            cores=cores.of_this_machine(),
            servers=ServerCpu.find(settings),
            directory=Path(directory),
            users=users,
            csv=csv,
            email_path=email_path,
            seconds=args.seconds,
            rounds=args.rounds,
            seed=args.seed,
        )
        print(f"{len(users):,} users; {bench.cores}", flush=True)
        try:
            if args.mix:
                verdicts = read_mix_runs.measure(
                    bench,
                    connections=args.connections or [50, 200, 1_000],
                    writes=args.writes or [0, 500],
                    warm_up_s=args.warm_up,
                )
            else:
                verdicts = read_path_runs.measure(
                    bench,
                    [path for path in PATHS if path.name in (args.path or path.name)],
                    connections=(args.connections or [50])[0],
                )
        finally:
            asyncio.run(_forget(settings, bench.name))
    print("\nWANTED", *(f"- {verdict}" for verdict in verdicts), sep="\n")
    return 0 if all(verdict.passed for verdict in verdicts) else 1


async def _forget(settings: Settings, prefix: str) -> None:
    nodes = RedisNodes(settings.redis_nodes, timeout_s=settings.redis_timeout_s)
    try:
        await nodes.unlink_matching(f"{prefix}*")
    finally:
        await nodes.close()
