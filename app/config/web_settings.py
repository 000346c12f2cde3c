"""Settings of the HTTP surface."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, Field, SecretStr, field_validator

from app.config.comma_lists import CommaList
from app.core.api_keys import id_of


def _auth(value: object) -> object:
    return (
        "required" if value == "auto" else value
    )  # the default of version 0.1.0, which was open before the first key


class WebSettings(BaseModel):
    """Where it listens, whom it answers, and how much."""

    web_host: str = Field(default="127.0.0.1", description="where the web listens")
    web_port: int = Field(default=8888, ge=0, le=65535, description="0: any that is free")
    web_reuse_port: bool = Field(
        default=False, description="several processes may listen on one port; the kernel spreads connections"
    )
    web_allow_non_loopback: bool = Field(
        default=False,
        description="on other hosts it listens where there are API keys, or where this allows it",
    )
    web_allowed_hosts: CommaList = Field(
        default=[],
        description="names that requests without a key may have in the header Host, beside loopback's and "
        "PROFILE_WEB_HOST: those of a proxy; commas between them",
    )
    web_trusted_proxies: CommaList = Field(
        default=[],
        description="addresses of proxies whose requests are answered where no key is asked for; a client that gets "
        "through them may do everything. Commas between them",
    )
    auth: Annotated[Literal["required", "off"], BeforeValidator(_auth)] = Field(
        default="required",
        description="`required`: each request needs an API key; `off`: the service is open to everybody who reaches it",
    )
    key_file: Path | None = Field(
        default=None,
        description="where the first API key is kept, for this machine's commands; the first start makes it (mode "
        "0600) where no key was ever made. Unset: a file named after the database in `$XDG_STATE_HOME/user-profile` "
        "(`~/.local/state/user-profile`)",
    )
    first_key: SecretStr | None = Field(
        default=None,
        description="the first API key itself, for machines that keep no file, as containers: `python -m app keys "
        "generate` prints one. It is accepted where no key was ever made",
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
    web_max_body_bytes: int = Field(default=4 * 1024 * 1024, ge=1024, description="of a POST; more is a 413")
    web_max_items: int = Field(
        default=10_000,
        ge=1,
        description="entities and properties and relationships, or data points, of a POST",
    )
    web_request_timeout_s: float = Field(default=10.0, gt=0, description="of a request; then it is a 504")
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
    graph_byte_budget: int = Field(default=8 * 1024 * 1024, ge=1024, description="about, of an answer's JSON")
    graph_points_of_entity: int = Field(
        default=10_000, ge=1, description="that are read of one entity: the latest ones"
    )

    @field_validator("first_key")
    @classmethod
    def _is_a_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and id_of(value.get_secret_value()) is None:
            raise ValueError("this is not an API key; `python -m app keys generate` prints one")
        return value
