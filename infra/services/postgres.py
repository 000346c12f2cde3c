"""PostgreSQL: a primary and two streaming replicas."""

import logging
import os
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar, Final

from infra.errors import InfraError, NotReadyError
from infra.install.apt import find_postgres_bin, postgres_bin
from infra.install.postgres_versions import postgres_of_version
from infra.process import ServerProcess
from infra.service import Service, run
from infra.services.running_copy import copy_running
from infra.templates import render

logger = logging.getLogger(__name__)

_NODES: Final = ("primary", "replica1", "replica2")


class PostgresService(Service):
    """The settings' user is the superuser, as in the official image; extensions are the migrations' task."""

    name: ClassVar[str] = "postgres"

    @property
    def directory(self) -> Path:
        # Versions can't read each other's data.
        version = self.settings.postgres_version
        return super().directory if version is None else self.settings.data_dir / f"{self.name}-{version}"

    def install(self) -> None:
        if self.settings.postgres_version is None:
            postgres_bin(self.settings)
        else:
            postgres_of_version(self.settings, self.settings.postgres_version)

    @property
    def _bin(self) -> Path:
        if self.settings.postgres_version is not None:
            return postgres_of_version(self.settings, self.settings.postgres_version)
        found = find_postgres_bin()
        if found is None:
            raise InfraError("PostgreSQL is not installed: run `python -m infra install postgres`.")
        return found

    @property
    def user(self) -> str | None:
        # initdb and postgres refuse to run as root.
        return "postgres" if os.geteuid() == 0 else None

    def _data(self, node: str) -> Path:
        return self.directory / node

    def configure(self) -> None:
        self.own_directory()
        primary = self._data("primary")
        if not primary.exists():
            self._init(primary)
        for index, node in enumerate(_NODES):
            if self._data(node).exists():
                self._write_config(self._data(node), index)

    def _init(self, target: Path) -> None:
        scratch = self._scratch(target)
        password = self.directory / ".password"
        password.write_text(self.settings.postgres_password)
        password.chmod(0o600)
        if self.user is not None:
            shutil.chown(password, self.user, self.user)
        try:
            self._run(
                str(self._bin / "initdb"),
                *["-D", str(scratch), "-U", self.settings.postgres_user, f"--pwfile={password}"],
                *["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--data-checksums"],
                *["--no-instructions", "--no-sync"],
                purpose="Creating the primary's data directory",
            )
        finally:
            password.unlink()
        scratch.rename(target)

    def _scratch(self, target: Path) -> Path:
        """Where a data directory is made before it is complete; what a killed attempt left is removed."""
        scratch = target.with_name(f"{target.name}.new")
        shutil.rmtree(scratch, ignore_errors=True)
        return scratch

    def _write_config(self, data: Path, index: int) -> None:
        text = render(
            "postgresql.conf",
            port=self.settings.postgres_ports[index],
            max_connections=self.settings.postgres_max_connections,
            shared_buffers_mb=self.settings.postgres_shared_buffers_mb,
            database=self.settings.postgres_database,
            user=self.settings.postgres_user,
        )
        (data / "postgresql.conf").write_text(text)

    def processes(self) -> list[ServerProcess]:
        return [
            ServerProcess(
                name=node,
                directory=self._data(node),
                port=self.settings.postgres_ports[index],
                user=self.user,
                # "Fast": sessions are ended; SIGTERM would wait for every client to leave.
                stop_signal=signal.SIGINT,
            )
            for index, node in enumerate(_NODES)
        ]

    def start(self) -> None:
        """Also creates the database and, from the running primary, the replicas that are missing."""
        primary, *replicas = self.processes()
        self._start_node(primary)
        self._wait(lambda: self._psql(0, "SELECT 1", "postgres"), [primary], self.settings.start_timeout_s)
        exists = self._psql(
            0, "SELECT 1 FROM pg_database WHERE datname = :'name'", "postgres", self._database
        )
        if not exists:
            self._psql(0, 'CREATE DATABASE :"name"', "postgres", self._database)
        with ThreadPoolExecutor() as pool:
            list(pool.map(self._start_replica, replicas))

    @property
    def _database(self) -> str:
        return self.settings.postgres_database

    def _start_node(self, process: ServerProcess) -> None:
        process.start([str(self._bin / "postgres"), "-D", str(process.directory)])

    def _start_replica(self, process: ServerProcess) -> None:
        if process.pid() is not None:
            return
        if self._lost(process.name):
            logger.warning("%s fell too far behind and is copied anew from the primary", process.name)
            shutil.rmtree(process.directory)
            self._psql(0, "SELECT pg_drop_replication_slot(:'name')", "postgres", process.name)
        if not process.directory.exists():
            self._clone(process)
        self._start_node(process)

    def _lost(self, slot: str) -> bool:
        """Whether the primary has dropped WAL that this replica still needed."""
        query = "SELECT wal_status FROM pg_replication_slots WHERE slot_name = :'name'"
        return self._psql(0, query, "postgres", slot) == "lost"

    def _clone(self, process: ServerProcess) -> None:
        query = (
            "SELECT pg_create_physical_replication_slot(:'name', true) "
            "WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = :'name')"
        )
        self._psql(0, query, "postgres", process.name)
        scratch = self._scratch(process.directory)
        if (self._bin / "pg_basebackup").exists():
            self._run(
                str(self._bin / "pg_basebackup"),
                *["-D", str(scratch), "-R", "-X", "stream", "-c", "fast", "-S", process.name, "--no-sync"],
                *self._server(0),
                purpose=f"Copying the primary to {process.name}",
            )
        else:
            copy_running(
                [str(self._bin / "psql"), *self._server(0), "--dbname=postgres"],
                self._environment,
                self.settings.postgres_dsn(database="postgres"),
                source=self._data("primary"),
                target=scratch,
                slot=process.name,
                user=self.user,
            )
        self._write_config(scratch, _NODES.index(process.name))
        scratch.rename(process.directory)

    def ready(self) -> None:
        """All three answer SQL on the application's database, and both replicas stream."""
        self._psql(0, "SELECT 1", self._database)
        for index in (1, 2):
            status = self._psql(index, "SELECT status FROM pg_stat_wal_receiver", self._database)
            if status != "streaming":
                raise NotReadyError(f"{_NODES[index]} does not stream from the primary yet")

    def _psql(self, node: int, query: str, database: str, name: str = "") -> str:
        """The single value that a query gives, as text; `:'name'` and `:"name"` stand for `name`."""
        argv = [str(self._bin / "psql"), "-XqAt", "-v", "ON_ERROR_STOP=1", "-v", f"name={name}", "-f", "-"]
        server = [*self._server(node), f"--dbname={database}"]
        try:
            return run(
                [*argv, *server],
                purpose=f"Asking {_NODES[node]}",
                timeout_s=30,
                stdin=query,
                environment=self._environment,
            ).strip()
        except InfraError as error:
            raise NotReadyError(str(error)) from error

    def _server(self, node: int) -> list[str]:
        """Arguments of PostgreSQL's programs; the password is in `_environment`, which no other user sees."""
        port = self.settings.postgres_ports[node]
        return ["--host=127.0.0.1", f"--port={port}", f"--username={self.settings.postgres_user}"]

    @property
    def _environment(self) -> dict[str, str]:
        return {**os.environ, "PGPASSWORD": self.settings.postgres_password}

    def _run(self, *argv: str, purpose: str) -> None:
        run(argv, purpose=purpose, user=self.user, cwd=self.directory, environment=self._environment)
