"""Programs that run beside a measurement and end with it."""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from load.measure.cores import pinned

STOP_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """An HTTP server of this machine: where it listens, and its process."""

    url: str
    pid: int


@contextmanager
def started(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    core: int | None = None,
    directory: Path | None = None,
    stdout: int | IO[str] | None = None,
) -> Iterator["subprocess.Popen[bytes]"]:
    """A process, on that core alone where one is given; asked to end afterwards, and killed after 20 s."""
    process = subprocess.Popen(pinned(command, core), env=environment, cwd=directory, stdout=stdout)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
