"""The bare handler of load.measure.baseline as a process."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from load.errors import LoadError
from load.measure.baseline import Source
from load.measure.processes import Server, started


@contextmanager
def bare_server(
    bodies: Sequence[bytes], saved: Path, *, source: Source = "memory", core: int | None = None
) -> Iterator[Server]:
    """It returns these bodies in turn, from where it is told. They are saved to a file for it.

    Raises LoadError where it does not start.
    """
    saved.write_text(json.dumps([body.decode() for body in bodies]), encoding="utf-8")
    command = [sys.executable, "-m", "load.measure.baseline", str(saved), "--source", source]
    with started(command, core=core, stdout=subprocess.PIPE) as process:
        line = process.stdout.readline() if process.stdout else b""
        if not line.strip().isdigit():
            raise LoadError("The bare handler did not start; its error stands above.")
        yield Server(url=f"http://127.0.0.1:{int(line)}", pid=process.pid)
