"""A worker with the web role, alone where nothing else is told, as a process of a measurement."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from load.errors import LoadError
from load.measure.fetching import fetch
from load.measure.processes import Server, started

_START_S: Final = 60.0


@contextmanager
def web_worker(environment: Mapping[str, str], *, core: int | None = None) -> Iterator[Server]:
    """It listens on a free port and is ready. `environment` goes over this process's own. Raises LoadError."""
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "app", "worker", "-l", "warn"]
    own = {"PROFILE_ROLES": "web", "PROFILE_WEB_PORT": str(port), "PROFILE_WEB_HOST": "127.0.0.1"}
    own["PROFILE_AUTH"] = "off"  # what is measured asks without a key
    settings = {**os.environ, **own, **environment}
    # What Faust prints of itself; its log goes to stderr.
    with started(command, environment=settings, core=core, stdout=subprocess.DEVNULL) as process:
        _wait_ready(url, process)
        yield Server(url=url, pid=process.pid)


def _wait_ready(url: str, process: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + _START_S
    while process.poll() is None:
        try:
            fetch(f"{url}/readyz")
        except LoadError as error:
            if time.monotonic() > end:
                raise LoadError(f"The worker was not ready within {_START_S:.0f} s: {error}") from None
            time.sleep(0.1)
        else:
            return
    raise LoadError(f"The worker ended with {process.returncode}; its log stands above.")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
