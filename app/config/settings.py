"""The settings of a worker, read once from the environment (`PROFILE_…`) or a `.env` file.

The defaults name the local stack of `python -m infra up` and are reachable from this machine alone.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.config.comma_lists import split
from app.config.ingest_settings import IngestSettings
from app.config.kafka import Brokers, KafkaSecurity
from app.config.kafka_settings import KafkaSettings
from app.config.store_settings import StoreSettings
from app.config.topics import TopicNames, TopicRetention, TopicSpec
from app.config.web_settings import WebSettings


class Role(StrEnum):
    """What one worker process does; each set of roles is a consumer group of its own."""

    ENTITIES_EDGES = "entities-edges"
    ENTITY_PROPERTIES = "entity-properties"
    TEMPORAL_DATA = "temporal-data"
    CDC = "cdc"
    WEB = "web"


def _roles(value: object) -> object:
    parts = split(value)
    return list(Role) if parts in (["all"], []) else parts


class Settings(KafkaSettings, StoreSettings, IngestSettings, WebSettings, BaseSettings):
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
    log_format: str = Field(
        default="text", pattern="^(text|json)$", description="`json` for what collects logs by machine"
    )

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

    # --- tests of faults; see app/core/failpoints.py
    hooks: str = Field(
        default="",
        description="for tests of faults: where a process ends or waits (app/core/failpoints.py)",
    )
    hooks_hold: Path | None = Field(
        default=None, description="for tests of faults: what a waiting process waits for"
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
