"""A Flink session cluster: one job manager, and task managers."""

import os
import shutil
from http import HTTPStatus
from pathlib import Path
from typing import ClassVar, Final

from infra.errors import InfraError, NotReadyError
from infra.install.apt import ensure_programs
from infra.install.artifacts import POM, installed, maven_jars, pip_target
from infra.install.functions import JDK, functions_jar
from infra.process import ServerProcess
from infra.rest import request
from infra.service import Service
from infra.templates import render

_REQUIREMENTS: Final = POM.with_name("flink-requirements.txt")


class FlinkService(Service):
    """The cluster alone; jobs are submitted by `infra.flink.jobs`, and again after a restart."""

    name: ClassVar[str] = "flink"

    def install(self) -> None:
        ensure_programs(self.settings, JDK)
        _ = self.home
        functions_jar(self.settings)

    @property
    def home(self) -> Path:
        """FLINK_HOME: PyPI's distribution with the Kafka connector and the SQL gateway; made on first use."""
        distribution = pip_target(self.settings, "flink-distribution", _REQUIREMENTS)
        connector = maven_jars(self.settings, "flink-connector")
        gateway = maven_jars(self.settings, "flink-gateway")

        def build(directory: Path) -> None:
            # Hard links: the jars take 350 MB.
            shutil.copytree(
                distribution / "pyflink", directory, dirs_exist_ok=True, copy_function=_link_or_copy
            )
            for jars, folder in ((connector, "lib"), (gateway, "opt")):
                for jar in jars.glob("*.jar"):
                    _link_or_copy(jar, directory / folder / jar.name)
            for script in (directory / "bin").iterdir():
                script.chmod(0o755)

        fingerprint = "-".join(path.name.rpartition("-")[2] for path in (distribution, connector))
        return installed(self.settings, "flink-home", fingerprint, build)

    @property
    def conf_dir(self) -> Path:
        """FLINK_CONF_DIR of this stack, for the SQL client too."""
        return self.directory / "conf"

    @property
    def environment(self) -> dict[str, str]:
        """What Flink's scripts need to work with this stack's cluster."""
        return {
            "FLINK_HOME": str(self.home),
            "FLINK_CONF_DIR": str(self.conf_dir),
            "FLINK_LOG_DIR": str(self.directory / "log"),
            "JAVA_HOME": str(Path(shutil.which("java") or "java").resolve().parents[1]),
        }

    def configure(self) -> None:
        for name in ("log", "tmp", "checkpoints", "savepoints"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        shutil.copytree(self.home / "conf", self.conf_dir, dirs_exist_ok=True)
        settings = self.settings
        text = render(
            "flink.yaml",
            rpc_port=settings.flink_rpc_port,
            port=settings.flink_port,
            directory=self.directory,
            jobmanager_heap_mb=settings.flink_jobmanager_heap_mb,
            task_heap_mb=settings.flink_task_heap_mb,
            checkpoint_ms=settings.flink_checkpoint_ms,
            slots=settings.flink_task_slots,
            rocksdb_memory_mb=settings.flink_rocksdb_memory_mb,
        )
        (self.conf_dir / "config.yaml").write_text(text)

    def processes(self) -> list[ServerProcess]:
        wanted = self._wanted()
        names = {each.name for each in wanted}
        # Those that an earlier start with more task managers has left end with the others.
        found = sorted(path.stem for path in self.directory.glob("taskmanager-*.pid"))
        left = [self._task_manager(name) for name in found if name not in names]
        return [*wanted, *(each for each in left if each.pid() is not None)]

    def _wanted(self) -> list[ServerProcess]:
        manager = ServerProcess(name="jobmanager", directory=self.conf_dir, port=self.settings.flink_port)
        others = (f"taskmanager-{number}" for number in range(2, self.settings.flink_task_managers + 1))
        return [manager, *map(self._task_manager, ("taskmanager", *others))]

    def _task_manager(self, name: str) -> ServerProcess:
        return ServerProcess(name=name, directory=self.conf_dir, port=self.settings.flink_rpc_port)

    def start(self) -> None:
        environment = {**os.environ, **self.environment}
        for process in self._wanted():
            script = f"{process.name.partition('-')[0]}.sh"
            process.start([str(self.home / "bin" / script), "start-foreground"], environment)

    def ready(self) -> None:
        """The REST interface answers, and the task managers have offered their slots."""
        try:
            code, overview = request("GET", f"{self.settings.flink_url}/overview", timeout_s=5)
        except InfraError as error:
            raise NotReadyError(str(error)) from error
        registered = (
            overview.get("taskmanagers", 0) if code == HTTPStatus.OK and isinstance(overview, dict) else 0
        )
        if registered < self.settings.flink_task_managers:
            raise NotReadyError(
                f"{registered} of {self.settings.flink_task_managers} task managers have registered"
            )


def _link_or_copy(source: str | Path, target: str | Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
