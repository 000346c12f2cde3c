"""Where the local stack lives and how big it is, read once from `INFRA_…` or a `.env` file.

The default ports are those of the application's own defaults. `INFRA_PORT_OFFSET` moves all of them,
and the data directory with them, so that a second stack (the tests', for one) runs beside the first.
A port that is set by name is taken as it stands.
"""

import hashlib
import hmac
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import quote

from pydantic import BeforeValidator, Field, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

# Below 32768, where Linux starts to hand out ports to outgoing connections, also with the tests' offset.
BASE_PORTS: Final[Mapping[str, int | list[int]]] = {
    "postgres_ports": [5432, 5433, 5434],
    "redis_ports": [7001, 7002, 7003],
    "redis_bus_ports": [7101, 7102, 7103],
    "kafka_port": 9092,
    "kafka_controller_port": 9093,
    "connect_port": 8083,
    "flink_port": 8081,
    "flink_rpc_port": 6123,
}


def _ports(value: object) -> object:
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


def _default_data_root() -> Path:
    # initdb refuses root, so the servers of a root user run as `postgres`, who can't read root's home.
    if os.geteuid() == 0:
        return Path("/var/lib/user-profile-stack")
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "user-profile-stack"


Port = Annotated[int, Field(ge=1024, le=65535)]
PortTriple = Annotated[list[Port], NoDecode, BeforeValidator(_ports), Field(min_length=3, max_length=3)]


class InfraSettings(BaseSettings):
    """All knobs of the local stack. Lists are comma-separated in the environment."""

    model_config = SettingsConfigDict(
        env_prefix="INFRA_", env_file=".env", extra="ignore", frozen=True, env_ignore_empty=True
    )

    port_offset: int = Field(default=0, ge=0, le=50_000, description="added to every default port")
    postgres_ports: PortTriple = Field(default=[], description="primary, first replica, second replica")
    redis_ports: PortTriple = []
    redis_bus_ports: PortTriple = []
    kafka_port: Port = 0
    kafka_controller_port: Port = 0
    connect_port: Port = 0
    flink_port: Port = 0
    flink_rpc_port: Port = 0

    data_root: Path = Field(
        default_factory=_default_data_root, description="readable by the user `postgres` if root starts it"
    )
    cache_dir: Path = Field(
        default_factory=lambda: (
            Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "user-profile"
        ),
        description="downloads, shared by all stacks and clones",
    )

    postgres_user: str = "poc_user"
    postgres_password: str = "poc_password"  # noqa: S105 - the demo's, on loopback
    postgres_database: str = "user_profile_db"
    ui_password: str = Field(
        default="poc_password",
        description="of `admin` in Kafka UI; with containers and COMPOSE_PROFILES=tools",
    )
    postgres_version: int | None = Field(
        default=None, description="16, 17 or 18, of npm, for tests; unset: the system's. Of the native stack"
    )
    postgres_max_connections: int = Field(default=200, ge=20)
    postgres_shared_buffers_mb: int = Field(default=128, ge=16)
    redis_max_memory_mb: int = Field(default=256, ge=16, description="of each node; eviction is LFU")
    kafka_heap_mb: int = Field(default=512, ge=256)
    connect_heap_mb: int = Field(default=384, ge=256)
    connect_offset_flush_ms: int = Field(
        default=5_000, ge=10, description="between commits of connectors' positions; of the native stack"
    )
    flink_jobmanager_heap_mb: int = Field(default=256, ge=192)
    flink_task_heap_mb: int = Field(default=512, ge=128, description="of both jobs; large records take most")
    flink_account_wait_s: int = Field(
        default=3600, ge=4, le=86_400, description="how long a payment waits for the account that it names"
    )
    flink_checkpoint_ms: int = Field(
        default=5_000, ge=500, description="between checkpoints, each of which commits"
    )
    flink_task_slots: int = Field(
        default=16,
        ge=1,
        description="of each task manager; a set of the two jobs takes twice the parallelism",
    )
    flink_task_managers: int = Field(default=1, ge=1, le=16, description="processes of the native stack")
    flink_parallelism: int = Field(
        default=1,
        ge=1,
        le=128,
        description="tasks of each operator; jobs go on from a savepoint with another",
    )
    flink_state_backend: Literal["hashmap", "rocksdb"] = Field(
        default="hashmap",
        description="where jobs keep their state: on the heap, or on the disk of the task managers",
    )
    flink_rocksdb_memory_mb: int = Field(
        default=128, ge=32, description="of a task manager, beside its heap, where jobs use RocksDB"
    )
    flink_phone_region: str = Field(
        default="BR",
        pattern="^([A-Z]{2})?$",
        description="the country (ISO 3166) of phone numbers that do not say theirs; empty refuses those",
    )

    in_container: bool = Field(
        default=False,
        description="this runs in a container of infra/compose.yaml, where the others bear their names",
    )
    start_timeout_s: float = Field(default=120.0, gt=0, description="for one service to answer")
    stop_timeout_s: float = Field(default=20.0, gt=0, description="between SIGTERM and SIGKILL")

    @model_validator(mode="before")
    @classmethod
    def _shift_default_ports(cls, values: dict[str, Any]) -> dict[str, Any]:
        offset = int(values.get("port_offset") or 0)
        shifted = {
            name: [port + offset for port in base] if isinstance(base, list) else base + offset
            for name, base in BASE_PORTS.items()
        }
        return shifted | values

    @model_validator(mode="after")
    def _ports_differ(self) -> Self:
        ports = self.all_ports
        twice = sorted({port for port in ports if ports.count(port) > 1})
        if twice:
            raise ValueError(f"the ports {twice} are given to two servers: set different INFRA_…_PORT values")
        return self

    @property
    def all_ports(self) -> list[int]:
        return [
            *self.postgres_ports,
            *self.redis_ports,
            *self.redis_bus_ports,
            self.kafka_port,
            self.kafka_controller_port,
            self.connect_port,
            self.flink_port,
            self.flink_rpc_port,
        ]

    @property
    def data_dir(self) -> Path:
        """The data of the stack on these ports; stacks on other offsets have directories of their own."""
        return self.data_root / f"stack-{self.port_offset}"

    # --- where clients connect
    def postgres_login(self, role: str | None = None) -> tuple[str, str]:
        """User and password of `reader`, `writer` or `cdc`; without a role the administrator's.

        The others' passwords follow from the administrator's, which none of them tells.
        """
        if role is None:
            return self.postgres_user, self.postgres_password
        name = f"profile_{role}"
        key = self.postgres_password.encode()
        return name, hmac.new(key, name.encode(), hashlib.sha256).hexdigest()[:32]

    def postgres_dsn(self, node: int = 0, *, database: str | None = None, role: str | None = None) -> str:
        """The DSN of a node: 0 is the primary, 1 and 2 are the replicas; `role` as above."""
        name = self.postgres_database if database is None else database
        user, password = (quote(part, safe="") for part in self.postgres_login(role))
        return f"postgresql://{user}:{password}@127.0.0.1:{self.postgres_ports[node]}/{name}"

    @property
    def kafka_broker(self) -> str:
        return "kafka:19092" if self.in_container else f"127.0.0.1:{self.kafka_port}"

    @property
    def redis_nodes(self) -> list[str]:
        return [f"127.0.0.1:{port}" for port in self.redis_ports]

    @property
    def connect_url(self) -> str:
        return f"http://127.0.0.1:{self.connect_port}"

    @property
    def flink_url(self) -> str:
        return "http://flink-jobmanager:8081" if self.in_container else f"http://127.0.0.1:{self.flink_port}"

    def app_environment(self) -> dict[str, str]:
        """`PROFILE_…` variables with which a worker uses this stack."""
        return {
            "PROFILE_KAFKA_BROKERS": self.kafka_broker,
            "PROFILE_POSTGRES_DSN": self.postgres_dsn(),
            "PROFILE_POSTGRES_READ_DSN": self.postgres_dsn(role="reader"),
            "PROFILE_POSTGRES_WRITE_DSN": self.postgres_dsn(role="writer"),
            "PROFILE_POSTGRES_REPLICA_DSNS": ",".join(
                self.postgres_dsn(node, role="reader") for node in (1, 2)
            ),
            "PROFILE_REDIS_NODES": ",".join(self.redis_nodes),
            "PROFILE_CONNECT_URL": self.connect_url,
        }
