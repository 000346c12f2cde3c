"""The connector's configuration."""

import re

import pytest

from app.config.settings import Settings
from cdc.connector.config import config_of, connector_config


def test_the_configuration_names_the_given_database_slot_and_topic() -> None:
    config = connector_config(
        database_dsn="postgresql://u:p%40ss@127.0.0.1:25432/db",
        cdc_topic="t-1.user-profile.cdc.all-tables",
        slot="slot_1",
        topic_prefix="t-1.",
    )
    assert config["database.port"] == "25432"
    assert config["database.dbname"] == "db"
    assert config["database.password"] == "p@ss"
    assert config["slot.name"] == "slot_1"
    assert config["topic.prefix"] == "t-1.user-profile"
    assert config["transforms.route.replacement"] == "t-1.user-profile.cdc.all-tables"
    assert all(isinstance(value, str) for value in config.values())


@pytest.mark.parametrize(
    ("topic", "routed"),
    [
        ("t-1.user-profile.public.entities", True),
        ("t-1.user-profile.public.edges", True),
        ("t-1.user-profile.public.temporal_properties", True),
        ("t-1.user-profile.public.dbz_heartbeat", False),
        ("tx1xuser-profile.public.entities", False),
    ],
)
def test_all_tables_but_the_heartbeat_share_a_topic(topic: str, routed: bool) -> None:
    config = connector_config(
        database_dsn="postgresql://u:p@127.0.0.1/db", cdc_topic="t", topic_prefix="t-1."
    )
    assert bool(re.fullmatch(config["transforms.route.regex"], topic)) is routed


def test_it_is_made_from_the_settings() -> None:
    settings = Settings.model_validate(
        {
            "postgres_dsn": "postgresql://u:p@db:1/d",
            "connect_postgres_dsn": "postgresql://u:p@inside:2/d",
            "cdc_slot": "mine",
            "cdc_heartbeat_ms": 700,
            "topic_prefix": "x.",
        }
    )
    config = config_of(settings)
    assert (config["database.hostname"], config["database.port"]) == ("inside", "2")
    assert (config["slot.name"], config["heartbeat.interval.ms"]) == ("mine", "700")
    assert config["transforms.route.replacement"] == settings.topics.cdc
    assert config["offset.mismatch.strategy"] == "trust_offset", "a slot made anew stops the connector"


@pytest.mark.parametrize(("snapshot", "mode"), [(False, "no_data"), (True, "initial")])
def test_a_snapshot_is_taken_on_demand_alone(snapshot: bool, mode: str) -> None:
    config = connector_config(database_dsn="postgresql://u:p@127.0.0.1/db", cdc_topic="t", snapshot=snapshot)
    assert config["snapshot.mode"] == mode


def test_tls_of_the_dsn_is_the_connectors_too() -> None:
    config = connector_config(
        database_dsn="postgresql://u:p@h:5432/d?sslmode=verify-full&sslrootcert=%2Fetc%2Fca.crt&application_name=x",
        cdc_topic="cdc",
    )
    assert config["database.sslmode"] == "verify-full"
    assert config["database.sslrootcert"] == "/etc/ca.crt"
    assert config["database.dbname"] == "d"
    assert not any(name.startswith("database.application") for name in config)


@pytest.mark.parametrize(
    ("credentials", "user", "password"),
    [
        ("dsn", "u", "p"),
        ("env:X", "${env:X_USER}", "${env:X_PASSWORD}"),
        ("file:/etc/c.properties", "${file:/etc/c.properties:user}", "${file:/etc/c.properties:password}"),
    ],
)
def test_a_password_stands_in_the_configuration_on_demand_alone(
    credentials: str, user: str, password: str
) -> None:
    settings = Settings.model_validate(
        {"postgres_dsn": "postgresql://u:p@db/d", "connect_credentials": credentials}
    )
    config = config_of(settings)
    assert (config["database.user"], config["database.password"]) == (user, password)
    by_default = config_of(Settings.model_validate({"postgres_dsn": "postgresql://u:p@db/d"}))
    assert "p" not in by_default.values()
