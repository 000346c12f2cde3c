"""Servers that a test may kill: a stack beside the shared one, a thousand ports further."""

import os
import signal
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from infra import stack
from infra.errors import InfraError
from infra.process import ServerProcess
from infra.services import SERVICES
from infra.settings import InfraSettings

_NAMES: Final = ("postgres", "redis", "kafka", "connect")
_LEFTOVERS_S: Final = 10.0


class OwnStack:
    """What tests ask for is stopped and started by the pids that its files name."""

    def __init__(self, settings: InfraSettings) -> None:
        self.settings = settings

    def start(self, *names: str) -> None:
        """Return when they answer; what runs is left alone."""
        deadline = time.monotonic() + _LEFTOVERS_S
        while True:
            try:
                stack.up(self.settings, names)
            except InfraError:
                # The children of a killed postmaster hold its shared memory for a moment.
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
            else:
                return

    def processes(self, name: str) -> list[ServerProcess]:
        """Of PostgreSQL: the primary, then the replicas."""
        return SERVICES[name](self.settings).processes()

    def stop(self, name: str, number: signal.Signals, *, index: int = 0) -> None:
        """Send the signal to one process of a service; return when it is gone."""
        replace(self.processes(name)[index], stop_signal=number).stop(self.settings.stop_timeout_s)

    def signal_all_of(self, name: str, number: signal.Signals, *, index: int = 0) -> None:
        """Send the signal to one process of a service and to its children; does nothing where it does not run."""
        process = self.processes(name)[index]
        pid = process.pid()
        if pid is None or not process.signal(number):  # the parent first: stopped, it makes no more of them
            return
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            with suppress(ProcessLookupError):
                os.kill(int(child), number)

    def restart_redis_empty(self, index: int) -> None:
        """Kill a node and start it again at once; it knows its slots and no key."""
        process = self.processes("redis")[index]
        replace(process, stop_signal=signal.SIGKILL).stop(self.settings.stop_timeout_s)
        (process.directory / "dump.rdb").unlink(missing_ok=True)
        process.start(["redis-server", str(process.directory / "redis.conf")])

    def reset(self, *names: str) -> None:
        """Stop these, or all, and remove their data."""
        stack.reset(self.settings, names or _NAMES)
