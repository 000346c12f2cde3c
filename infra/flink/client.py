"""What submitting jobs needs of a Flink installation: its SQL client, and the checkpoints that it kept.

Natively both are on this machine; in containers they are in the job manager's.
"""

import base64
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final, Protocol

from infra import compose
from infra.errors import InfraError
from infra.flink.checkpoints import Checkpoint
from infra.services.flink import FlinkService
from infra.settings import InfraSettings

# Planning takes half a minute of CPU: on a machine with much else to do that was over five minutes.
SUBMIT_TIMEOUT_S: Final = 900
# The client plans for some seconds and ends: the second compiler would never earn its time.
_SHORT_LIVED: Final = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
_CONTAINER: Final = "flink-jobmanager"


class FlinkClient(Protocol):
    """One of the two below; directories are as the cluster names them."""

    @property
    def brokers(self) -> str:
        """Kafka, as the jobs reach it."""
        ...

    @property
    def checkpoints(self) -> str:
        """The directory of all checkpoints."""
        ...

    def run_sql(self, script: str) -> str:
        """Run statements with the SQL client and return all that it printed; its exit code says nothing."""
        ...

    def jar(self, path: Path) -> str:
        """Put a jar where the SQL client finds it, and return its path there; its directory keeps its name."""
        ...

    def kept(self, directory: str) -> list[Checkpoint]:
        """The complete checkpoints and savepoints that jobs kept in this directory, newest first."""
        ...

    def write(self, path: str, text: str) -> None:
        """Write a file, with its directory."""
        ...

    def read(self, path: str) -> str:
        """The text of a file, empty if it is not there."""
        ...

    def copy(self, source: str, target: str) -> None:
        """Copy a directory to a new one, with its times."""
        ...

    def remove(self, directory: str) -> None:
        """Remove a directory of checkpoints."""
        ...


class NativeClient:
    """The installation that the native stack runs."""

    def __init__(self, settings: InfraSettings) -> None:
        self._service = FlinkService(settings)
        self.brokers = settings.kafka_broker
        self.checkpoints = str(self._service.directory / "checkpoints")

    def run_sql(self, script: str) -> str:
        path = self._service.directory / "jobs.sql"
        path.write_text(script)
        argv = [str(self._service.home / "bin" / "sql-client.sh"), "-f", str(path)]
        try:
            done = subprocess.run(
                argv,
                env={**os.environ, **self._service.environment, "JVM_ARGS": _SHORT_LIVED},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=SUBMIT_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise InfraError(
                f"Flink's SQL client did not end within {SUBMIT_TIMEOUT_S} s: see `python -m infra logs flink`."
            ) from error
        return done.stdout.decode(errors="replace")

    def jar(self, path: Path) -> str:
        return str(path)

    def kept(self, directory: str) -> list[Checkpoint]:
        # A checkpoint or savepoint is complete once its _metadata stands there.
        found = [
            Checkpoint(path=str(path.parent), completed_at=path.stat().st_mtime)
            for path in Path(directory).glob("*/*/_metadata")
        ]
        return sorted(found, key=lambda each: each.completed_at, reverse=True)

    def write(self, path: str, text: str) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text)

    def read(self, path: str) -> str:
        return Path(path).read_text() if Path(path).exists() else ""

    def copy(self, source: str, target: str) -> None:
        shutil.copytree(source, target)

    def remove(self, directory: str) -> None:
        shutil.rmtree(directory, ignore_errors=True)


class ContainerClient:
    """The job manager's container of `compose.yaml`. Not run on a machine without a Docker engine."""

    def __init__(self, settings: InfraSettings) -> None:
        self._settings = settings
        self.brokers = "kafka:19092"
        self.checkpoints = "/checkpoints"

    def run_sql(self, script: str) -> str:
        return self._shell(
            f"cat > /tmp/jobs.sql && JVM_ARGS='{_SHORT_LIVED}' bin/sql-client.sh -f /tmp/jobs.sql 2>&1",
            script,
        )

    def jar(self, path: Path) -> str:
        # Beside the checkpoints, since an upgrade that is refused goes back to the jar before.
        there = f"{self.checkpoints}/functions/{path.parent.name}/{path.name}"
        text = base64.b64encode(path.read_bytes()).decode()
        self._shell(f"test -s {there} || {{ mkdir -p $(dirname {there}) && base64 -d > {there}; }}", text)
        return there

    def kept(self, directory: str) -> list[Checkpoint]:
        # The directory's name is made of our own prefix and fingerprint: it needs no quotes.
        listed = self._shell(f"stat -c '%Y %n' {directory}/*/*/_metadata 2>/dev/null; true")
        found = [
            Checkpoint(path=path.removesuffix("/_metadata"), completed_at=float(seconds))
            for seconds, _, path in (line.partition(" ") for line in listed.splitlines())
        ]
        return sorted(found, key=lambda each: each.completed_at, reverse=True)

    def write(self, path: str, text: str) -> None:
        self._shell(f"mkdir -p $(dirname {path}) && cat > {path}", text)

    def read(self, path: str) -> str:
        return self._shell(f"cat {path} 2>/dev/null; true")

    def copy(self, source: str, target: str) -> None:
        self._shell(f"mkdir -p $(dirname {target}) && cp -a {source} {target}")

    def remove(self, directory: str) -> None:
        self._shell(f"rm -rf {directory}")

    def _shell(self, command: str, stdin: str = "") -> str:
        return compose.execute(
            self._settings, _CONTAINER, ["bash", "-c", command], stdin=stdin, timeout_s=SUBMIT_TIMEOUT_S
        )
