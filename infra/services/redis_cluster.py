"""A Redis Cluster of three primaries without replicas."""

import os
import shutil
from pathlib import Path
from typing import ClassVar, Final

from infra.errors import InfraError, NotReadyError
from infra.install.apt import ensure_programs
from infra.process import ServerProcess
from infra.service import Service, run
from infra.templates import render

_SLOTS: Final = 16_384


class RedisService(Service):
    """The cache's nodes; they evict the least used keys at their memory limit."""

    name: ClassVar[str] = "redis"

    def install(self) -> None:
        ensure_programs(self.settings, {"redis-server": "redis-server", "redis-cli": "redis-tools"})

    @property
    def user(self) -> str | None:
        # Debian's package makes it.
        return "redis" if os.geteuid() == 0 else None

    def _node(self, port: int) -> Path:
        return self.directory / f"node-{port}"

    def configure(self) -> None:
        for port, bus_port in zip(self.settings.redis_ports, self.settings.redis_bus_ports, strict=True):
            directory = self._node(port)
            directory.mkdir(parents=True, exist_ok=True)
            if self.user is not None:
                shutil.chown(directory, self.user, self.user)
            text = render(
                "redis.conf",
                port=port,
                bus_port=bus_port,
                directory=directory,
                max_memory_mb=self.settings.redis_max_memory_mb,
            )
            (directory / "redis.conf").write_text(text)

    def processes(self) -> list[ServerProcess]:
        return [
            ServerProcess(name=f"node-{port}", directory=self._node(port), port=port, user=self.user)
            for port in self.settings.redis_ports
        ]

    def start(self) -> None:
        for process in self.processes():
            process.start(["redis-server", str(process.directory / "redis.conf")])

    def ready(self) -> None:
        """Every node says that the whole cluster is well; a new one is put together first."""
        for port in self.settings.redis_ports:
            self._cli(port, "ping")
        self._join()
        for port in self.settings.redis_ports:
            # A cluster says that it is well while slots are without a node.
            info = set(self._cli(port, "cluster", "info").split())
            if not info >= {"cluster_state:ok", "cluster_known_nodes:3", f"cluster_slots_ok:{_SLOTS}"}:
                raise NotReadyError(f"node {port} does not see the whole cluster yet")

    def _join(self) -> None:
        """Give each new node its third of the slots and its epoch, and let it meet the first.

        Done by hand, since `redis-cli --cluster create` of Redis 7.0 takes the bus port for port + 10000.
        """
        ports, bus_ports = self.settings.redis_ports, self.settings.redis_bus_ports
        for index, port in enumerate(ports):
            if "cluster_slots_assigned:0" in self._cli(port, "cluster", "info").split():
                first, last = _SLOTS * index // 3, _SLOTS * (index + 1) // 3 - 1
                self._cli(port, "cluster", "addslotsrange", str(first), str(last))
                self._cli(port, "cluster", "set-config-epoch", str(index + 1))
        for port in ports[1:]:
            if "cluster_known_nodes:1" in self._cli(port, "cluster", "info").split():
                self._cli(port, "cluster", "meet", "127.0.0.1", str(ports[0]), str(bus_ports[0]))

    def _cli(self, port: int, *command: str) -> str:
        try:
            answer = run(
                ["redis-cli", "-h", "127.0.0.1", "-p", str(port), *command],
                purpose=f"Asking Redis on {port}",
                timeout_s=5,
            )
        except InfraError as error:
            raise NotReadyError(str(error)) from error
        if answer.startswith(("ERR", "LOADING")):
            raise NotReadyError(f"node {port} answers {answer.strip()}")
        return answer
