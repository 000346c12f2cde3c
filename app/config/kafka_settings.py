"""Settings of Kafka, its topics, and change data capture."""

from pathlib import Path

from pydantic import BaseModel, Field, SecretStr

from app.config.comma_lists import CommaList
from app.config.kafka import Mechanism, Protocol


class KafkaSettings(BaseModel):
    """Brokers, topics, Debezium."""

    kafka_brokers: CommaList = Field(
        default=["127.0.0.1:9092"], description="host:port, commas between them; some of them are enough"
    )
    kafka_security_protocol: Protocol = Field(
        default="PLAINTEXT", description="how the brokers are spoken to"
    )
    kafka_sasl_mechanism: Mechanism = Field(default="PLAIN", description="with the protocols `SASL_…`")
    kafka_sasl_username: str = Field(default="", description="with the protocols `SASL_…`")
    kafka_sasl_password: SecretStr = Field(default=SecretStr(""), description="with the protocols `SASL_…`")
    kafka_ca_file: Path | None = Field(default=None, description="PEM; unset: the system's")
    kafka_client_cert_file: Path | None = Field(
        default=None, description="PEM, where the brokers ask for one"
    )
    kafka_client_key_file: Path | None = Field(default=None, description="PEM, of that certificate")
    topic_prefix: str = Field(default="", description="before the name of each topic: `staging.`")
    topic_partitions: int = Field(
        default=4,
        ge=1,
        description="of topics that are created: as many processes of a role share the work. More can be added to the "
        "normalised topics at any time, to those of changes and events never",
    )
    source_topic_partitions: int = Field(default=4, ge=1, description="of source topics that are created")
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

    connect_url: str = Field(default="http://127.0.0.1:8083", description="REST of Kafka Connect")
    connect_ca_file: Path | None = Field(default=None, description="PEM, of https; unset: the system's")
    connector_name: str = Field(
        default="user-profile-cdc", min_length=1, description="of Debezium's connector"
    )
    connect_postgres_dsn: SecretStr | None = Field(
        default=None, description="the primary as Connect reaches it; unset: as PROFILE_POSTGRES_DSN"
    )
    connect_credentials: str = Field(
        default="env:USER_PROFILE_CDC",
        pattern=r"^(dsn|env:[A-Za-z_]\w*|file:/[^${}:]+)$",
        description="where Connect takes Debezium's `user` and `password` from: `file:/PATH` on its machine (provider "
        "`file`), `env:X` its variables X_USER and X_PASSWORD (provider `env`), `dsn` the DSN: REST then shows them",
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
