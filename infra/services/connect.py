"""A Kafka Connect worker with Debezium's PostgreSQL connector."""

import os
import shutil
from pathlib import Path
from typing import ClassVar

from infra.connector import ConnectClient
from infra.errors import InfraError, NotReadyError
from infra.install.apt import ensure_programs
from infra.install.artifacts import maven_jars
from infra.process import ServerProcess
from infra.service import Service
from infra.templates import render


class ConnectService(Service):
    """The worker alone: connectors are registered through its REST interface (`infra.connector`)."""

    name: ClassVar[str] = "connect"
    requires: ClassVar[tuple[str, ...]] = ("kafka",)

    def install(self) -> None:
        ensure_programs(self.settings, {"java": "openjdk-17-jdk-headless"})
        maven_jars(self.settings, "connect")
        maven_jars(self.settings, "debezium")

    @property
    def _conf(self) -> Path:
        return self.directory / "conf"

    @property
    def _plugins(self) -> Path:
        return self.directory / "plugins"

    def configure(self) -> None:
        self._conf.mkdir(parents=True, exist_ok=True)
        # The plugin path holds one directory per plugin, and nothing else of the cache.
        shutil.rmtree(self._plugins, ignore_errors=True)
        self._plugins.mkdir()
        (self._plugins / "debezium").symlink_to(maven_jars(self.settings, "debezium"))
        text = render(
            "connect.properties",
            broker=self.settings.kafka_broker,
            port=self.settings.connect_port,
            plugins=self._plugins,
            offset_flush_ms=self.settings.connect_offset_flush_ms,
        )
        (self._conf / "worker.properties").write_text(text)
        (self._conf / "log4j2.properties").write_text(render("log4j2.properties"))

    def processes(self) -> list[ServerProcess]:
        return [ServerProcess(name="worker", directory=self._conf, port=self.settings.connect_port)]

    def start(self) -> None:
        classpath = f"{self._conf}:{maven_jars(self.settings, 'connect')}/*"
        argv = [
            "java",
            f"-Xmx{self.settings.connect_heap_mb}m",
            "-XX:+ExitOnOutOfMemoryError",
            "-cp",
            classpath,
        ]
        main = "org.apache.kafka.connect.cli.ConnectDistributed"
        # Read by the config provider `env` of the worker, so that REST shows references in place of a password.
        user, password = self.settings.postgres_login("cdc")
        environment = {**os.environ, "USER_PROFILE_CDC_USER": user, "USER_PROFILE_CDC_PASSWORD": password}
        for process in self.processes():
            process.start([*argv, main, str(self._conf / "worker.properties")], environment)

    def ready(self) -> None:
        """Lists its connectors, which it can only after it has read its own topics."""
        try:
            ConnectClient(self.settings.connect_url).names()
        except InfraError as error:
            raise NotReadyError(str(error)) from error
