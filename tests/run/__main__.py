"""`python -m tests.run`: all stages of `make test`; `--ci` adds those of CI, `--group NAME` runs one part or stage.

All other arguments go to pytest, for each group. The exit code is 0, 1 where a part failed, or 2 for wrong usage.
"""

import argparse
import logging
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Final

from infra.settings import InfraSettings
from tests.run.lane import Lane
from tests.run.parts import CI, TEST, Stage
from tests.run.results import SLOWEST, Result, slowest, table, unstable, write_junit
from tests.run.servers import FOR_TESTS

OFFSET: Final = 20_000
LANES_APART: Final = 5_000  # of ports; tests add up to 1,500 for servers that they may kill


class Run:
    """Stages one after the other; prints each part when it has ended."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self._lanes = lanes
        self._printing = threading.Lock()
        self.results: list[Result] = []

    def run(self, stages: Sequence[Stage]) -> bool:
        """True if all passed. A stage after one that failed does not run."""
        for stage in stages:
            failed = threading.Event()
            count = len(self._lanes)
            with ThreadPoolExecutor(max_workers=count) as pool:
                work = [
                    # Where there is one lane for all, it takes the stage's in turn.
                    pool.submit(
                        lane.run, stage, list(chain(*stage.lanes[index::count])), failed, self._report
                    )
                    for index, lane in enumerate(self._lanes)
                ]
            for future in work:
                future.result()
            if failed.is_set() or any(lane.stopped for lane in self._lanes):
                return False
        return True

    def _report(self, result: Result, output: str) -> None:
        with self._printing:
            self.results.append(result)
            print(
                f"\n=== {result.stage}: {result.name} {result.verdict} in {result.seconds:.1f} s", flush=True
            )
            print(output.rstrip(), flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    options, pytest_arguments = _parser().parse_known_args(arguments)
    stages = _stages(options)
    if not stages:
        names = "; ".join(f"{stage.name}: {', '.join(part.name for part in stage.parts)}" for stage in CI)
        print(f"There is no stage or part {options.group!r}: choose from {names}.", file=sys.stderr)
        return 2
    # It logs each attempt to reach a broker that still starts.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="user-profile-tests-") as directory:
        live = sum(len(stage.parts) for stage in stages) == 1
        lanes = _lanes(Path(directory), pytest_arguments, live=live, repeats=options.ci)
        _stop_on_signals(lanes)
        run = Run(lanes)
        try:
            passed = run.run(stages)
        finally:
            for lane in lanes:
                lane.release()
        print(f"\n{table(run.results)}\n")
        print(f"The {SLOWEST} slowest tests, with their fixtures:\n{slowest(run.results)}\n")
        if any(result.unstable for result in run.results):
            print("These tests failed, and passed when they ran once more. Each is a fault to correct:")
            print(f"{unstable(run.results)}\n")
        print(
            f"{'All parts passed' if passed else 'FAILED'} after {time.monotonic() - began:.0f} s.",
            flush=True,
        )
        if options.junitxml:
            write_junit(run.results, options.junitxml)
    return 0 if passed else 1


def _stop_on_signals(lanes: Sequence[Lane]) -> None:
    def stop(*_: object) -> None:
        for lane in lanes:
            lane.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.run", description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "--ci",
        action="store_true",
        help="also the fixed part of the fault tests, and the audit; failed tests run once more",
    )
    parser.add_argument("--group", metavar="NAME", help="this part alone, or this stage")
    parser.add_argument("--junitxml", type=Path, metavar="FILE", help="one file of all groups")
    return parser


def _stages(options: argparse.Namespace) -> Sequence[Stage]:
    if options.group is None:
        return CI if options.ci else TEST
    whole = [stage for stage in CI if stage.name == options.group]
    return whole or [
        Stage(stage.name, ((part,),)) for stage in CI for part in stage.parts if part.name == options.group
    ]


def _lanes(directory: Path, pytest_arguments: Sequence[str], *, live: bool, repeats: bool) -> list[Lane]:
    first = int(os.environ.get("INFRA_PORT_OFFSET") or OFFSET)
    second = first - LANES_APART if first > LANES_APART else first + LANES_APART
    settings = [InfraSettings(port_offset=offset, **FOR_TESTS) for offset in (first, second)]
    apart = not set(settings[0].all_ports) & set(settings[1].all_ports)
    managed = apart and os.environ.get("TEST_STACK") != "containers"
    return [
        Lane(
            own,
            managed=managed,
            live=live,
            repeats=repeats,
            directory=directory,
            pytest_arguments=pytest_arguments,
        )
        for own in settings[: 2 if managed and not live else 1]
    ]


if __name__ == "__main__":
    sys.exit(main())
