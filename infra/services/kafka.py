"""One Kafka broker that is its own controller (KRaft)."""

import asyncio
import base64
import shutil
import uuid
from pathlib import Path
from typing import ClassVar

from app.kafka.client import AIOKafkaAdminClient, KafkaError
from infra.errors import NotReadyError
from infra.install.apt import ensure_programs
from infra.install.artifacts import maven_jars
from infra.process import ServerProcess
from infra.service import Service, run
from infra.templates import render


class KafkaService(Service):
    """Listens on loopback; topics are created explicitly, never by a client's mistake."""

    name: ClassVar[str] = "kafka"

    def install(self) -> None:
        ensure_programs(self.settings, {"java": "openjdk-17-jdk-headless"})
        maven_jars(self.settings, "kafka")

    @property
    def _config(self) -> Path:
        return self.directory / "conf" / "server.properties"

    @property
    def _logs(self) -> Path:
        return self.directory / "logs"

    def configure(self) -> None:
        self._config.parent.mkdir(parents=True, exist_ok=True)
        text = render(
            "kafka.properties",
            port=self.settings.kafka_port,
            controller_port=self.settings.kafka_controller_port,
            data=self._logs,
        )
        self._config.write_text(text)
        (self._config.parent / "log4j2.properties").write_text(render("log4j2.properties"))
        if not (self._logs / "meta.properties").exists():
            # A format that was killed half-way is done again from nothing.
            shutil.rmtree(self._logs, ignore_errors=True)
            cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
            argv = ["kafka.tools.StorageTool", "format", "--standalone", f"--cluster-id={cluster_id}"]
            run([*self._java(64), *argv, "-c", str(self._config)], purpose="Formatting Kafka's storage")

    def _java(self, heap_mb: int) -> list[str]:
        classpath = f"{self._config.parent}:{maven_jars(self.settings, 'kafka')}/*"
        return ["java", f"-Xmx{heap_mb}m", "-XX:+ExitOnOutOfMemoryError", "-cp", classpath]

    def processes(self) -> list[ServerProcess]:
        return [
            ServerProcess(
                name="broker",
                directory=self._config.parent,
                port=self.settings.kafka_port,
            )
        ]

    def start(self) -> None:
        argv = [*self._java(self.settings.kafka_heap_mb), "kafka.Kafka", str(self._config)]
        for process in self.processes():
            process.start(argv)

    def ready(self) -> None:
        """Answers a metadata request."""
        asyncio.run(self._describe())

    async def _describe(self) -> None:
        client = AIOKafkaAdminClient(bootstrap_servers=self.settings.kafka_broker, request_timeout_ms=5_000)
        try:
            await client.start()
            cluster = await client.describe_cluster()
            if not cluster["brokers"]:
                raise NotReadyError("no broker is registered yet")
        except (KafkaError, OSError, TimeoutError) as error:
            raise NotReadyError(f"no metadata from {self.settings.kafka_broker}: {error}") from error
        finally:
            await client.close()
