"""What submitting jobs needs of a Flink installation: its SQL client, and the checkpoints that it kept.

Natively both are on this machine. In containers they are where this code runs as well: the image `flink-jobs` has the
SQL client, and shares the volume of the checkpoints with the cluster.
"""

import os
import shutil
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

from infra.errors import InfraError
from infra.flink.checkpoints import Checkpoint
from infra.install.functions import JAR, functions_jar
from infra.services.flink import FlinkService
from infra.settings import InfraSettings

# Planning takes half a minute of CPU: on a machine with much else to do that was over five minutes.
SUBMIT_TIMEOUT_S: Final = 900
# The client plans for some seconds and ends: the second compiler would never earn its time.
_SHORT_LIVED: Final = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
# The image `flink-jobs` (Dockerfile) has these.
_IMAGE_FLINK: Final = Path("/opt/flink")
_IMAGE_FUNCTIONS: Final = Path("/opt/functions")
_SCRATCH: Final = Path("/tmp")  # noqa: S108 - of a container, where nothing else may be written to


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

    def functions(self, sources: Path) -> str:
        """The jar of the functions that the SQL calls, made of `sources`; its directory names its content."""
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


class _LocalClient(ABC):
    """The SQL client and the checkpoints are this machine's, or this container's."""

    _options: Sequence[str] = ()

    @property
    @abstractmethod
    def _home(self) -> Path: ...

    @property
    @abstractmethod
    def _script(self) -> Path:
        """Where the statements of a run are written to."""

    @property
    @abstractmethod
    def _environment(self) -> Mapping[str, str]: ...

    def run_sql(self, script: str) -> str:
        self._script.write_text(script)
        argv = [str(self._home / "bin" / "sql-client.sh"), *self._options, "-f", str(self._script)]
        try:
            done = subprocess.run(
                argv,
                env={**os.environ, **self._environment, "JVM_ARGS": _SHORT_LIVED},
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


class NativeClient(_LocalClient):
    """The installation that the native stack runs."""

    def __init__(self, settings: InfraSettings) -> None:
        self._settings = settings
        self._service = FlinkService(settings)
        self.brokers = settings.kafka_broker
        self.checkpoints = str(self._service.directory / "checkpoints")

    @property
    def _home(self) -> Path:
        return self._service.home

    @property
    def _script(self) -> Path:
        return self._service.directory / "jobs.sql"

    @property
    def _environment(self) -> Mapping[str, str]:
        return self._service.environment

    def functions(self, sources: Path) -> str:
        return str(functions_jar(self._settings, sources))


class ContainerClient(_LocalClient):
    """The image `flink-jobs`, whose user is that of Flink's image, so that both may write in the volume."""

    def __init__(self, settings: InfraSettings) -> None:
        self.brokers = settings.kafka_broker
        self.checkpoints = "/checkpoints"
        host, _, port = settings.flink_url.removeprefix("http://").partition(":")
        self._options = [f"-Drest.address={host}", f"-Drest.port={port}"]

    @property
    def _home(self) -> Path:
        return _IMAGE_FLINK

    @property
    def _script(self) -> Path:
        return _SCRATCH / "jobs.sql"

    @property
    def _environment(self) -> Mapping[str, str]:
        return {"FLINK_LOG_DIR": str(_SCRATCH)}

    def functions(self, sources: Path) -> str:
        # Built into the image with its own sources. Beside the checkpoints, since an upgrade that is refused goes
        # back to the jar before, which is another image's.
        (built,) = _IMAGE_FUNCTIONS.glob(f"*/{JAR}")
        kept = Path(self.checkpoints, "functions", built.parent.name, JAR)
        if not kept.exists():
            kept.parent.mkdir(parents=True, exist_ok=True)
            scratch = kept.with_suffix(f".{os.getpid()}")
            shutil.copyfile(built, scratch)
            scratch.replace(kept)
        return str(kept)
