"""The settings of a worker, read once from the environment (`PROFILE_…`) or a `.env` file.

The defaults name the local stack of `python -m infra up` and are reachable from this machine alone.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.config.kafka import Brokers, KafkaSecurity, Mechanism, Protocol
from app.config.topics import TopicNames, TopicRetention, TopicSpec

DEFAULT_ERASURE_KEY = "development"  # for one machine alone


class Role(StrEnum):
    """What one worker process does; each set of roles is a consumer group of its own."""

    ENTITIES_EDGES = "entities-edges"
    ENTITY_PROPERTIES = "entity-properties"
    TEMPORAL_DATA = "temporal-data"
    CDC = "cdc"
    WEB = "web"


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _roles(value: object) -> object:
    parts = _split(value)
    return list(Role) if parts in (["all"], []) else parts


CommaList = Annotated[list[str], NoDecode, BeforeValidator(_split)]


class Settings(BaseSettings):
    """All knobs. Units stand in the names: `_s` seconds, `_ms` milliseconds, `_bytes` bytes."""

    model_config = SettingsConfigDict(
        env_prefix="PROFILE_", env_file=".env", extra="ignore", frozen=True, env_ignore_empty=True
    )

    # --- what this process does
    roles: Annotated[list[Role], NoDecode, BeforeValidator(_roles)] = Field(
        default=list(Role), description="`all`, or a comma-separated list of roles"
    )
    processes: str = Field(
        default="auto",
        pattern=r"^(auto|1|(web|ingest|cdc)=[1-9]\d?(,(web|ingest|cdc)=[1-9]\d?)*)$",
        description="`auto`: one for the web, one for all ingesting roles, one for cdc, of those that this worker has; "
        "`1`: this process does it all; `web=2,ingest=1,cdc=1`: so many of each",
    )
    process_silence_s: float = Field(
        default=30.0,
        ge=1,
        description="a process of this worker that does not answer for so long is ended and replaced",
    )
    process_restarts: int = Field(
        default=5,
        ge=0,
        description="of each process within five minutes; with one more the worker ends with its exit code",
    )
    app_id: str = Field(default="user-profile", description="prefix of the consumer groups")
    consumer_group: str | None = Field(
        default=None,
        description="of all agents of this worker; unset: PROFILE_APP_ID for all roles, and one for each other set",
    )
    log_format: str = Field(default="text", pattern="^(text|json)$")

    otel_endpoint: str | None = Field(
        default=None,
        description="of an OTLP/HTTP collector, http://127.0.0.1:4318; unset: no traces. Needs the extra `otel`",
    )
    otel_sample_ratio: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="of traces that begin here; one that is brought decides for itself",
    )

    # --- Kafka
    kafka_brokers: CommaList = Field(default=["127.0.0.1:9092"])
    kafka_security_protocol: Protocol = "PLAINTEXT"
    kafka_sasl_mechanism: Mechanism = "PLAIN"
    kafka_sasl_username: str = ""
    kafka_sasl_password: SecretStr = SecretStr("")
    kafka_ca_file: Path | None = Field(default=None, description="PEM; unset: the system's")
    kafka_client_cert_file: Path | None = None
    kafka_client_key_file: Path | None = None
    topic_prefix: str = ""
    topic_partitions: int = Field(default=4, ge=1)
    source_topic_partitions: int = Field(default=4, ge=1)
    source_retention_days: int = Field(
        default=7,
        ge=0,
        description="of the source topics, from when the broker took a record; 0: without end",
    )
    normalised_retention_days: int = Field(
        default=7,
        ge=0,
        description="of the normalised topics, which the agents' workers delete; 0: without end",
    )
    dead_letter_retention_days: int = Field(
        default=30, ge=0, description="of dead letters, from when they were written; 0: without end"
    )
    domain_event_retention_days: int = Field(
        default=30,
        ge=0,
        description="of the domain events, from the commit that each tells of; 0: without end",
    )

    # --- PostgreSQL
    postgres_dsn: SecretStr = SecretStr("postgresql://poc_user:poc_password@127.0.0.1:5432/user_profile_db")
    postgres_replica_dsns: Annotated[list[SecretStr], NoDecode, BeforeValidator(_split)] = Field(
        default=[
            SecretStr("postgresql://poc_user:poc_password@127.0.0.1:5433/user_profile_db"),
            SecretStr("postgresql://poc_user:poc_password@127.0.0.1:5434/user_profile_db"),
        ]
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
    postgres_acquire_timeout_s: float = 5.0
    postgres_command_timeout_s: float = 30.0
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

    # --- tests of faults; see app/core/failpoints.py
    hooks: str = ""
    hooks_hold: Path | None = None

    # --- Redis
    redis_nodes: CommaList = Field(default=["127.0.0.1:7001", "127.0.0.1:7002", "127.0.0.1:7003"])
    redis_timeout_s: float = 0.3
    redis_tls: bool = False
    redis_ca_file: Path | None = Field(default=None, description="PEM; unset: the system's")
    redis_client_cert_file: Path | None = None
    redis_client_key_file: Path | None = None
    redis_username: str | None = Field(default=None, description="of an ACL; unset: the default user")
    redis_password: SecretStr | None = None
    cache_enabled: bool = Field(
        default=True,
        description="false: reads use no cache; what is written is dropped from Redis all the same",
    )
    cache_prefix: str = "up"
    memory_cache_mb: int = Field(default=256, ge=1, description="fragments and look-ups kept in the process")
    answer_cache_mb: int = Field(
        default=256, ge=1, description="walked trees and whole answers kept in the process"
    )
    cache_ttl_s: int = Field(default=6 * 3600, ge=1)
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

    # --- ingestion windows: whichever limit comes first closes one
    window_max_records: int = Field(default=5_000, ge=1)
    window_max_bytes: int = Field(default=8 * 1024 * 1024, ge=1)
    window_max_rows: int = Field(
        default=20_000,
        ge=1,
        description="a window with more rows is several transactions; each ends with the record that reaches this",
    )
    window_linger_s: float = Field(default=0.1, gt=0, description="since the window's first record")
    flush_timeout_s: float = Field(
        default=30.0,
        gt=0,
        description="of one attempt, which takes half of what its window has left (45 s in all) at most",
    )
    flushes_in_flight: int = Field(
        default=2, ge=1, description="windows of one agent that are written while the next one is read"
    )
    flush_max_attempts: int = Field(
        default=20,
        ge=1,
        description="at one window, with growing pauses and within 45 s: a failover, not more",
    )
    fetch_max_records: int = Field(default=2_000, ge=1)
    commit_interval_s: float = Field(
        default=1.0, gt=0, description="between commits of offsets; what a crash repeats at most"
    )
    progress_timeout_s: float = Field(
        default=60.0,
        gt=0,
        description="/readyz is red when records wait for so long; longer than a window's linger and flush",
    )
    # A change goes to Kafka with the row before and after it, each value as a JSON string: all of that stays below the
    # 16 MiB of a request.
    max_value_bytes: int = Field(
        default=1024 * 1024,
        ge=1,
        le=7 * 512 * 1024,
        description="of one property, temporal value or metadata, its numbers written out",
    )
    max_edges_per_record: int = Field(default=10_000, ge=1)
    max_properties_per_entity: int = Field(default=1_000, ge=1, description="that are stored of one entity")
    property_max_ahead_s: float = Field(
        default=86_400.0,
        ge=0,
        le=1e12,
        description="how much later the date of a property may be than the record's timestamp, or the request: local "
        "times without an offset are up to 14 h ahead of UTC, and clocks differ",
    )
    provenance: bool = Field(
        default=True,
        description="keep of each property where it came from, for GET /v1/graph/{id}/provenance",
    )
    max_entity_bytes: int = Field(
        default=4 * 1024 * 1024,
        ge=1024,
        le=7 * 1024 * 1024,
        description="of all properties of one entity: stored, before compression, and as the JSON string of a change",
    )
    dead_letter_max_ratio: float = Field(default=0.5, gt=0, le=1)
    dead_letter_min_records: int = Field(
        default=1_000, ge=1, description="the ratio is judged over this many of the latest records"
    )
    dead_letter_max_run: int = Field(
        default=1_000, ge=1, description="dead letters in a row that stop a worker"
    )

    # --- web
    web_host: str = "127.0.0.1"
    web_port: int = Field(default=8888, ge=0, le=65535)
    web_reuse_port: bool = Field(
        default=False, description="several processes may listen on one port; the kernel spreads connections"
    )
    web_allow_non_loopback: bool = Field(
        default=False,
        description="on other hosts it listens where there are API keys, or when told so",
    )
    web_allowed_hosts: CommaList = Field(
        default=[],
        description="names that requests without a key may have in the header Host, beside loopback's and "
        "PROFILE_WEB_HOST: those of a proxy; commas between them",
    )
    web_trusted_proxies: CommaList = Field(
        default=[],
        description="addresses of proxies whose requests are answered where no key is asked for; whoever gets through "
        "them may do everything. Commas between them",
    )
    auth: Literal["off", "required", "auto"] = Field(
        default="auto",
        description="API keys: `auto` asks for them where one was ever made, and on other hosts than loopback",
    )
    auth_refresh_s: float = Field(
        default=0.5, gt=0, description="between readings of the keys: how long a revocation takes"
    )
    auth_outage_s: float = Field(
        default=3_600.0,
        ge=0,
        description="how long known keys hold while PostgreSQL can't be asked",
    )
    web_rate_per_s: float = Field(
        default=2_000.0,
        ge=0,
        description="of one key in one worker, by cost: a request is 1, each 64 KiB sent or received 1 more, and each "
        "0.1 s in work 1 more; 0: no limit",
    )
    web_rate_burst: int = Field(default=4_000, ge=1, description="of one key at once, after a pause, by cost")
    web_max_in_flight: int = Field(
        default=1_000, ge=1, description="requests in work at once; more are refused with 503"
    )
    web_access_sample: int = Field(
        default=1_000,
        ge=1,
        description="of so many reads with a key that memory answers, one has a line in the log (`web.keys`); each "
        "other request with a key has one",
    )
    web_held_mb: int = Field(
        default=128,
        ge=1,
        description="large answers that wait for their readers; beyond it one is refused with 503",
    )
    web_max_connections: int = Field(
        default=8_192,
        ge=1,
        description="connections of clients; fewer where the limit of open files is lower. One more is closed at once",
    )
    web_max_exports: int = Field(default=4, ge=1, description="exports at once; each holds a connection")
    web_max_body_bytes: int = Field(default=4 * 1024 * 1024, ge=1024)
    web_max_items: int = Field(
        default=10_000,
        ge=1,
        description="entities and properties and relationships, or data points, of a POST",
    )
    web_request_timeout_s: float = Field(default=10.0, gt=0)
    web_shutdown_timeout_s: float = Field(
        default=10.0, ge=0, description="requests in flight get this long to finish on stop"
    )
    web_flushes_in_flight: int = Field(
        default=2, ge=1, description="transactions of POSTs at a time; what comes meanwhile shares the next"
    )
    web_export_timeout_s: float = Field(default=300.0, gt=0, description="of a whole export")
    web_event_streams: int = Field(default=100, ge=1, description="clients that follow events at a time")
    web_event_buffer_mb: int = Field(
        default=8,
        ge=1,
        description="latest events in memory; who reads more slowly than they go is sent away",
    )
    web_event_heartbeat_s: float = Field(default=15.0, gt=0, description="between comments in a quiet stream")
    web_event_stream_s: float = Field(
        default=3600.0, gt=0, description="a stream ends after so long; its client goes on with a new one"
    )
    backup_retention_days: int | None = Field(
        default=None,
        ge=0,
        description="of backups and archived WAL: a receipt of an erasure says until when they hold it",
    )
    # What one request may make of the graph, over all its roots; a tree says where it is cut.
    graph_node_budget: int = Field(default=10_000, ge=1, description="entities of an answer")
    graph_edge_budget: int = Field(default=100_000, ge=1, description="relationships of an answer")
    graph_point_budget: int = Field(default=100_000, ge=1, description="points of an answer")
    graph_byte_budget: int = Field(
        default=16 * 1024 * 1024, ge=1024, description="about, of an answer's JSON"
    )
    graph_points_of_entity: int = Field(
        default=10_000, ge=1, description="that are read of one entity: the latest ones"
    )

    # --- Debezium
    connect_url: str = "http://127.0.0.1:8083"
    connect_ca_file: Path | None = Field(default=None, description="PEM, of https; unset: the system's")
    connector_name: str = Field(default="user-profile-cdc", min_length=1)
    connect_postgres_dsn: SecretStr | None = Field(
        default=None, description="the primary as Connect reaches it; unset: as PROFILE_POSTGRES_DSN"
    )
    cdc_slot: str = Field(
        default="user_profile_cdc", pattern=r"^[a-z0-9_]{1,63}$", description="replication slot of Debezium"
    )
    cdc_heartbeat_ms: int = Field(
        default=3_000, ge=100, description="between heartbeats, which move the slot of a quiet database"
    )
    cdc_watch_interval_s: float = Field(
        default=5.0, gt=0, description="between looks of a cdc worker at the slot and the connector"
    )
    cdc_restart_failed: bool = Field(
        default=True, description="a cdc worker starts a failed task again, with growing pauses"
    )
    cdc_max_lag_s: float = Field(
        default=60.0, gt=0, description="/readyz tells the connector as not ready when it is so far behind"
    )
    cdc_publish_snapshot: bool = Field(
        default=False,
        description="publish rows that were there before the connector as …_created; a new snapshot repeats",
    )

    @property
    def kafka(self) -> Brokers:
        """The brokers, and how to connect to them."""
        return Brokers(
            self.kafka_brokers,
            KafkaSecurity(
                protocol=self.kafka_security_protocol,
                mechanism=self.kafka_sasl_mechanism,
                username=self.kafka_sasl_username,
                password=self.kafka_sasl_password.get_secret_value(),
                ca_file=self.kafka_ca_file,
                certificate_file=self.kafka_client_cert_file,
                key_file=self.kafka_client_key_file,
            ),
        )

    @property
    def topics(self) -> TopicNames:
        return TopicNames(prefix=self.topic_prefix)

    @property
    def topic_specs(self) -> list[TopicSpec]:
        """Every topic, with the partitions that these settings give it."""
        return self.topics.specs(
            partitions=self.topic_partitions,
            source_partitions=self.source_topic_partitions,
            retention=TopicRetention(
                source_days=self.source_retention_days or None,
                dead_letter_days=self.dead_letter_retention_days or None,
                domain_event_days=self.domain_event_retention_days or None,
            ),
        )

    @property
    def group_id(self) -> str:
        """The Faust app id: one per set of roles, so that they rebalance apart.

        All processes of a worker have that of its roles, however they are divided.
        """
        if self.consumer_group is not None:
            return self.consumer_group
        chosen = [role for role in Role if role in self.roles]
        return self.app_id if chosen == list(Role) else "-".join([self.app_id, *chosen])


def problems_of(error: ValidationError) -> list[str]:
    """A line for each wrong setting, by the name of its variable and without its value."""
    return [
        f"PROFILE_{str(problem['loc'][0]).upper()}: {problem['msg']}"
        for problem in error.errors(include_url=False, include_input=False)
    ]
