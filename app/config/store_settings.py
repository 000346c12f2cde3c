"""Settings of PostgreSQL, Redis and the caches."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from app.config.comma_lists import CommaList, split

DEFAULT_ERASURE_KEY = "development"  # for one machine alone


class StoreSettings(BaseModel):
    """Where things are kept, and for how long."""

    postgres_dsn: SecretStr = Field(
        default=SecretStr("postgresql://poc_user:poc_password@127.0.0.1:5432/user_profile_db"),
        description="of the primary: migrations and commands of operators, and of workers whatever the next two leave",
    )
    postgres_read_dsn: SecretStr | None = Field(
        default=None,
        description="of the primary, for reads of workers: a login of user_profile_reader; unset: as "
        "PROFILE_POSTGRES_DSN",
    )
    postgres_write_dsn: SecretStr | None = Field(
        default=None,
        description="of the primary, for writes of workers: a login of user_profile_writer; unset: as "
        "PROFILE_POSTGRES_DSN",
    )
    postgres_replica_dsns: Annotated[list[SecretStr], NoDecode, BeforeValidator(split)] = Field(
        default=[
            SecretStr("postgresql://poc_user:poc_password@127.0.0.1:5433/user_profile_db"),
            SecretStr("postgresql://poc_user:poc_password@127.0.0.1:5434/user_profile_db"),
        ],
        description="of replicas, commas between them; empty: all reads ask the primary",
    )
    postgres_pool_size: int = Field(
        default=8,
        ge=1,
        description="connections for writes, as many for trees and for other reads of the primary, and to each replica",
    )
    postgres_write_pool_size: int | None = Field(
        default=None, ge=1, description="unset: as PROFILE_POSTGRES_POOL_SIZE"
    )
    postgres_primary_pool_size: int | None = Field(
        default=None,
        ge=1,
        description="for trees of the primary, and for its other reads; unset: as PROFILE_POSTGRES_POOL_SIZE",
    )
    postgres_acquire_timeout_s: float = Field(
        default=5.0, gt=0, description="the wait for a connection; a write that gets none is tried again"
    )
    postgres_command_timeout_s: float = Field(default=30.0, gt=0, description="of one statement of a write")
    read_queue_s: float = Field(
        default=5.0,
        gt=0,
        description="since a request came, within which its reads of PostgreSQL have their turn, twice as many at a "
        "time as the replicas' pools have connections, in the order of requests; a 503 where that can't be",
    )
    erasure_key: SecretStr = Field(
        default=SecretStr(DEFAULT_ERASURE_KEY),
        description="keys the hashes of erased entities; set it before the first erasure and keep it",
    )
    temporal_retention_months: int | None = Field(
        default=None, ge=1, description="older temporal rows are left out of answers; unset: none"
    )

    redis_nodes: CommaList = Field(
        default=["127.0.0.1:7001", "127.0.0.1:7002", "127.0.0.1:7003"],
        description="host:port of some nodes of the cluster; empty: there is no Redis, and nothing is cached",
    )
    redis_timeout_s: float = Field(
        default=0.3,
        gt=0,
        description="a node that is silent for so long loses its connection; reads ask PostgreSQL",
    )
    redis_tls: bool = Field(default=False, description="speak TLS to all nodes")
    redis_ca_file: Path | None = Field(default=None, description="PEM; unset: the system's")
    redis_client_cert_file: Path | None = Field(default=None, description="PEM, where the nodes ask for one")
    redis_client_key_file: Path | None = Field(default=None, description="PEM, of that certificate")
    redis_username: str | None = Field(default=None, description="of an ACL; unset: the default user")
    redis_password: SecretStr | None = Field(default=None, description="of that user; unset: none")
    cache_enabled: bool = Field(
        default=True,
        description="false: reads use no cache; what is written is dropped from Redis all the same",
    )
    cache_prefix: str = Field(
        default="up", description="before each key: services that share a cluster need one each"
    )
    memory_cache_mb: int = Field(default=256, ge=1, description="fragments and look-ups kept in the process")
    answer_cache_mb: int = Field(
        default=256, ge=1, description="walked trees and whole answers kept in the process"
    )
    cache_ttl_s: int = Field(
        default=6 * 3600,
        ge=1,
        description="how long Redis keeps what nobody changes; freshness does not depend on it",
    )
    audit_interval_s: float = Field(
        default=10.0,
        ge=0,
        description="a web worker compares a few cached entries with the primary; 0: never",
    )

    placeholder_interval_s: float = Field(
        default=30.0,
        ge=0,
        description="between rounds that merge placeholders into the typed entities of their references; 0: never",
    )

    erasure_piece_rows: int = Field(
        default=2_000,
        ge=1,
        description="an erased entity with more edges and points is hidden at once and deleted in pieces of so many; a "
        "placeholder with more edges is merged likewise",
    )
    erasure_rows_per_s: int = Field(
        default=2_000,
        ge=1,
        description="of such pieces: each row is two changes that go through the CDC topic",
    )

    @property
    def read_dsn(self) -> SecretStr:
        """With which a worker reads from the primary."""
        return self.postgres_read_dsn or self.postgres_dsn

    @property
    def write_dsn(self) -> SecretStr:
        """With which a worker writes to the primary."""
        return self.postgres_write_dsn or self.postgres_dsn
