"""Server processes that outlive the command that starts them.

A process is known by its pid file, which holds the pid together with the process's start time and the
machine's boot id: a pid that was given to another process since is never taken for ours, nor signalled.
"""

import atexit
import json
import logging
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.errors import InfraError

logger = logging.getLogger(__name__)

_PROC = Path("/proc")
_MAX_LOG_BYTES = 16 * 1024 * 1024

# Children of this very process; held so that they can be reaped when they end.
_children: dict[int, subprocess.Popen[bytes]] = {}


@atexit.register
def _let_go() -> None:
    # Servers outlive this process on purpose; without this each would be reported as forgotten.
    for child in _children.values():
        if child.poll() is None:
            child.returncode = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerProcess:
    """Who one process is: where its pid and log stand, how it is started and stopped."""

    name: str
    directory: Path  # working directory; the pid file and the log lie beside it
    port: int
    user: str | None = None
    stop_signal: signal.Signals = signal.SIGTERM

    @property
    def pid_file(self) -> Path:
        return self.directory.parent / f"{self.name}.pid"

    @property
    def log_file(self) -> Path:
        return self.directory.parent / f"{self.name}.log"

    def pid(self) -> int | None:
        """The pid of the running process, or None. Never that of another process."""
        try:
            recorded = json.loads(self.pid_file.read_text())
            pid = int(recorded["pid"])
            identity = recorded["identity"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if (child := _children.get(pid)) is not None and child.poll() is not None:
            del _children[pid]
        return pid if identity is not None and process_identity(pid) == identity else None

    def start(self, argv: Sequence[str], environment: Mapping[str, str] | None = None) -> int:
        """Start the process in a session of its own, unless it runs; returns its pid."""
        if (running := self.pid()) is not None:
            return running
        if self.log_file.exists() and self.log_file.stat().st_size > _MAX_LOG_BYTES:
            self.log_file.replace(self.log_file.with_suffix(".log.1"))
        try:
            with self.log_file.open("ab") as log:
                log.write(f"--- start of {self.name}: {' '.join(argv)[:500]}\n".encode())
                log.flush()
                process = subprocess.Popen(
                    argv,
                    cwd=self.directory,
                    env=None if environment is None else dict(environment),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    user=self.user,
                    group=self.user,
                    extra_groups=None if self.user is None else [],
                )
        except OSError as error:
            raise InfraError(f"{self.name} can't be started: {error}.") from error
        _children[process.pid] = process
        scratch = self.pid_file.with_suffix(".pid.new")
        scratch.write_text(json.dumps({"pid": process.pid, "identity": process_identity(process.pid)}))
        scratch.replace(self.pid_file)
        logger.debug("Started %s as %d", self.name, process.pid)
        return process.pid

    def stop(self, timeout_s: float) -> bool:
        """Ask the process to end, kill it when the time is over; True if it was running."""
        if not self.signal(self.stop_signal):
            self.pid_file.unlink(missing_ok=True)
            return False
        if not self._wait_until_gone(timeout_s):
            logger.warning("%s did not stop within %g s: it is killed", self.name, timeout_s)
            self.signal(signal.SIGKILL)
            if not self._wait_until_gone(timeout_s):
                raise InfraError(
                    f"{self.name} (pid {self.pid()}) survives SIGKILL: see its log {self.log_file}."
                )
        self.pid_file.unlink(missing_ok=True)
        return True

    def signal(self, number: signal.Signals) -> bool:
        """Send a signal to exactly this process; False if it does not run."""
        pid = self.pid()
        if pid is None:
            return False
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            return False
        try:
            # Checked again with the handle open: from here on the pid can't change its owner unseen.
            if self.pid() != pid:
                return False
            signal.pidfd_send_signal(handle, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(handle)
        return True

    def _wait_until_gone(self, timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        while self.pid() is not None:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    def log_tail(self, lines: int = 25) -> str:
        """The last lines of the log, or a word that there is none."""
        try:
            with self.log_file.open("rb") as log:
                log.seek(max(0, self.log_file.stat().st_size - 64 * 1024))
                text = log.read().decode(errors="replace")
        except OSError:
            return "(no log)"
        return "\n".join(text.splitlines()[-lines:])


def process_identity(pid: int) -> str | None:
    """What tells this process from any other that had or will have its pid; None if it does not live."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
    # The command's name stands in parentheses and may hold spaces: fields are counted after it.
    fields = stat[stat.rindex(")") + 2 :].split()
    state, start_ticks = fields[0], fields[19]
    return None if state in "ZX" else f"{boot}/{start_ticks}"


def memory_bytes(pid: int) -> int:
    """Resident memory of the process and its descendants; shared pages are counted once where readable."""
    total = 0
    for member in [pid, *_descendants(pid)]:
        total += _proportional_bytes(member)
    return total


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    for task in (_PROC / str(pid) / "task").glob("*/children"):
        try:
            children = [int(child) for child in task.read_text().split()]
        except OSError:
            continue
        for child in children:
            found += [child, *_descendants(child)]
    return found


def _proportional_bytes(pid: int) -> int:
    for name, label in (("smaps_rollup", "Pss:"), ("status", "VmRSS:")):
        try:
            for line in (_PROC / str(pid) / name).read_text().splitlines():
                if line.startswith(label):
                    return int(line.split()[1]) * 1024
        except OSError:
            continue
    return 0
