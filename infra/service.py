"""The interface that every server of the stack has, and the waiting for an answer."""

import shutil
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from infra.errors import InfraError, NotReadyError
from infra.process import ServerProcess
from infra.settings import InfraSettings


class Service(ABC):
    """One service of one or more processes. Every step may be repeated without harm."""

    name: ClassVar[str]
    requires: ClassVar[tuple[str, ...]] = ()  # services that must be ready before `start`

    def __init__(self, settings: InfraSettings) -> None:
        self.settings = settings

    @property
    def directory(self) -> Path:
        return self.settings.data_dir / self.name

    @property
    def user(self) -> str | None:
        """Whom the servers run as; None: whoever starts them."""
        return None

    def own_directory(self) -> None:
        """Make the directory, which nobody but the servers' user, and root, may look into.

        What lies there is handed over once, since a version before may have left it to root.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        self.settings.data_dir.chmod(0o711)  # others pass through, and see no names
        self.directory.chmod(0o700)
        if self.user is not None and self.directory.owner() != self.user:
            for path in (*self.directory.rglob("*"), self.directory):
                shutil.chown(path, self.user, self.user)

    @abstractmethod
    def install(self) -> None:
        """Put the programs on this machine; quick if they are there. Raises InfraError."""

    @abstractmethod
    def configure(self) -> None:
        """Write configuration files and prepare empty data directories. Raises InfraError."""

    @abstractmethod
    def processes(self) -> list[ServerProcess]:
        """The processes in their order of starting; known without anything installed."""

    @abstractmethod
    def start(self) -> None:
        """Start what does not run. May return before the service answers."""

    @abstractmethod
    def ready(self) -> None:
        """Ask the service a real question, once. Raises NotReadyError until it answers well."""

    def stop(self) -> bool:
        """Stop in the reverse order; data stays. True if anything ran."""
        stopped = [process.stop(self.settings.stop_timeout_s) for process in reversed(self.processes())]
        return any(stopped)

    def running(self) -> bool:
        return all(process.pid() is not None for process in self.processes())

    def wait_ready(self, timeout_s: float | None = None) -> None:
        """Poll `ready` until it is. InfraError has the log's tail if a process ended or time ran out."""
        limit = self.settings.start_timeout_s if timeout_s is None else timeout_s
        self._wait(self.ready, self.processes(), limit)

    def _wait(
        self, question: Callable[[], object], processes: Sequence[ServerProcess], timeout_s: float
    ) -> None:
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                question()
            except NotReadyError as error:
                for process in processes:
                    if process.pid() is None:
                        raise InfraError(
                            self._failure("does not run (it ended, or was not started)", process)
                        ) from error
                if time.monotonic() > deadline:
                    what = f"did not answer within {timeout_s:g} s ({error})"
                    raise InfraError(self._failure(what, processes[-1])) from error
                time.sleep(0.1)
            else:
                return

    def _failure(self, what: str, culprit: ServerProcess) -> str:
        ports = ", ".join(str(each.port) for each in self.processes())
        return (
            f"{self.name}: {culprit.name} {what}. The end of {culprit.log_file}:\n\n{culprit.log_tail()}\n\n"
            f"Ways out: if a port ({ports}) is taken, set INFRA_PORT_OFFSET or the port's own variable; "
            f"if its data is damaged, `python -m infra reset {self.name}` starts it empty."
        )


def run(
    argv: Sequence[str],
    *,
    purpose: str,
    timeout_s: float = 600.0,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    user: str | None = None,
    stdin: str = "",
) -> str:
    """Run a program to its end and return what it printed. Raises InfraError with `purpose` and output."""
    try:
        done = subprocess.run(
            argv,
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            env=None if environment is None else dict(environment),
            cwd=cwd,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
            input=stdin,
        )
    except FileNotFoundError as error:
        raise InfraError(f"{purpose} needs the program {argv[0]!r}, which is not installed.") from error
    except subprocess.TimeoutExpired as error:
        raise InfraError(f"{purpose} took more than {timeout_s:g} s: {' '.join(argv)[:200]}") from error
    if done.returncode != 0:
        output = (done.stderr.strip() or done.stdout.strip())[-4000:]
        raise InfraError(f"{purpose} failed (exit code {done.returncode}): {' '.join(argv)[:200]}\n{output}")
    return done.stdout
