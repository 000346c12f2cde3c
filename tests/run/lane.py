"""A lane: parts one after the other, on servers of the lane's own."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from infra import stack
from infra.errors import InfraError
from infra.services import SERVICES
from infra.settings import InfraSettings
from tests.run.parts import Part, Stage
from tests.run.results import Result, failed_tests

NO_TESTS: Final = 5  # pytest's exit codes: where nothing was collected,
TESTS_FAILED: Final = 1  # and where tests ran and some failed
REPEATED_AT_MOST: Final = 3  # failed tests of a part; with more, the part fails at once
Report = Callable[[Result, str], None]


class Lane:
    """Runs the parts of stages. Servers stay up between parts that need them, and no longer.

    `managed` is false where tests take containers, or ports that are set by name: each group then starts
    its servers itself. `live` parts print for themselves; else their output is reported when they have ended.
    With `pytest_arguments`, a group in which these select nothing has passed. Where it `repeats`, the failed
    tests of a part run once more; a part whose tests all pass then has passed, and names them as unstable.
    """

    def __init__(
        self,
        settings: InfraSettings,
        *,
        managed: bool,
        live: bool,
        repeats: bool = False,
        directory: Path,
        pytest_arguments: Sequence[str],
    ) -> None:
        self._settings = settings
        self._managed = managed
        self._live = live
        self._repeats = repeats
        self._directory = directory
        self._arguments = [*pytest_arguments]
        self.stopped = False
        self._before = self._running() if managed else frozenset()
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, stage: Stage, parts: Sequence[Part], failed: threading.Event, report: Report) -> None:
        """Run the parts, and report each; where the stage stops, none after one that failed."""
        for number, part in enumerate(parts):
            if self.stopped or (stage.stops and failed.is_set()):
                return
            print(f"--- {stage.name}: {part.name} begins", flush=True)
            result, output = self._run(stage, part)
            if not result.passed:
                failed.set()
            report(result, output)
            self.release(keeping=frozenset().union(*(later.servers for later in parts[number + 1 :])))

    def _run(self, stage: Stage, part: Part) -> tuple[Result, str]:
        began = time.monotonic()
        junit, log = (self._directory / f"{part.name}.{kind}" for kind in ("xml", "log"))
        try:
            if self._managed and part.servers:
                stack.up(self._settings, sorted(part.servers))
        except InfraError as error:
            seconds = time.monotonic() - began
            return Result(stage=stage.name, name=part.name, passed=False, seconds=seconds), str(error)
        servers_s = time.monotonic() - began
        cache = f"cache_dir={self._directory / part.name}.cache"  # of what failed last
        code = self._execute(part, part.argv("-o", cache, f"--junitxml={junit}", *self._arguments), log)
        unstable = failed_tests(junit) if code == TESTS_FAILED and not part.command and self._repeats else []
        if 0 < len(unstable) <= REPEATED_AT_MOST and not self.stopped:
            code = self._execute(part, part.argv("-o", cache, "--last-failed", *self._arguments), log)
        result = Result(
            stage=stage.name,
            name=part.name,
            passed=code == 0 or (code == NO_TESTS and not part.command and bool(self._arguments)),
            seconds=time.monotonic() - began,
            servers_s=servers_s if part.servers else 0.0,
            junit=None if part.command else junit,
            unstable=tuple(unstable) if code == 0 else (),
        )
        return result, log.read_text(errors="replace")

    def _execute(self, part: Part, argv: list[str], log: Path) -> int:
        with log.open("ab") as output:
            output.write(f"$ {' '.join(argv)}\n".encode())
            output.flush()
            # In a session of its own, so that an interruption reaches it once, with all that it started.
            self._process = subprocess.Popen(
                argv,
                env=self._environment(part),
                stdin=subprocess.DEVNULL,
                stdout=None if self._live else output,
                stderr=None if self._live else subprocess.STDOUT,
                start_new_session=True,
            )
            return self._process.wait()

    def _environment(self, part: Part) -> dict[str, str]:
        if not self._managed:
            return dict(os.environ)
        others = {name: value for name, value in os.environ.items() if name != "INFRA_PORT_OFFSET"}
        return others | ({"INFRA_PORT_OFFSET": str(self._settings.port_offset)} if part.servers else {})

    def stop(self) -> None:
        """End the part that runs, as Ctrl-C does, and begin no other; tests put away what they made."""
        self.stopped = True
        if self._process is not None and self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGINT)

    def release(self, *, keeping: frozenset[str] = frozenset()) -> None:
        """Stop and empty the servers that this lane started, but these."""
        if self._managed and os.environ.get("TEST_STACK_KEEP") != "1":
            ended = self._running() - self._before - _required(keeping)
            if ended:
                stack.reset(self._settings, sorted(ended))

    def _running(self) -> frozenset[str]:
        return frozenset(
            name
            for name, kind in SERVICES.items()
            if any(process.pid() is not None for process in kind(self._settings).processes())
        )


def _required(names: frozenset[str]) -> frozenset[str]:
    return names | {required for name in names for required in SERVICES[name].requires}
