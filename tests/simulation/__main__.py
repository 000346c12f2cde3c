"""`python -m tests.simulation --seeds N`: N runs; with `--mutants`, runs with each known fault until it is found.

Exit codes: 0, as it should be; 1, a promise was broken, or a fault was not found; 2, wrong usage.
"""

import argparse
import logging
import sys
import time
from collections.abc import Sequence

from tests.simulation.mutants import MUTANTS, mutated
from tests.simulation.run import simulate


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument(
        "--seeds", type=int, default=20, metavar="N", help="runs, or the most for each mutant"
    )
    parser.add_argument("--from", type=int, default=0, dest="first", metavar="SEED", help="the first seed")
    parser.add_argument("--mutants", action="store_true", help="put each known fault in, and find it")
    parser.add_argument("--mutant", metavar="TEXT", help="only those whose name has this in it")
    asked = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)
    seeds = range(asked.first, asked.first + asked.seeds)
    if asked.mutants or asked.mutant:
        names = [name for name in MUTANTS if not asked.mutant or asked.mutant in name]
        missed = [name for name in names if not _found(name, seeds)]
        return int(bool(missed))
    broken = [seed for seed in seeds if not _kept(seed)]
    return int(bool(broken))


def _kept(seed: int) -> bool:
    began = time.process_time()
    answers, broken = simulate(seed)
    print(
        f"seed {seed}: {answers} trees, {time.process_time() - began:.1f} s: {broken or 'all promises kept'}",
        flush=True,
    )
    return broken is None


def _found(name: str, seeds: Sequence[int]) -> bool:
    with mutated(name):
        for seed in seeds:
            broken = simulate(seed)[1]
            if broken is not None:
                print(f"{name}: found with seed {seed}: {broken}", flush=True)
                return True
    print(f"{name}: NOT FOUND with {len(seeds)} seeds", flush=True)
    return False


if __name__ == "__main__":
    sys.exit(main())
