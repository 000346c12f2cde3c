"""Ports and directories of a stack."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from app.config.settings import Settings
from infra.settings import InfraSettings


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("INFRA_PORT_OFFSET", raising=False)
    monkeypatch.chdir(tmp_path)


def test_the_defaults_are_what_the_application_expects() -> None:
    infra, application = InfraSettings(), Settings()
    assert [infra.kafka_broker] == application.kafka_brokers
    assert infra.postgres_dsn() == application.postgres_dsn.get_secret_value()
    assert [infra.postgres_dsn(node) for node in (1, 2)] == [
        dsn.get_secret_value() for dsn in application.postgres_replica_dsns
    ]
    assert infra.redis_nodes == application.redis_nodes
    assert infra.connect_url == application.connect_url


def test_the_environment_for_a_worker_is_read_back_by_the_application(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    infra = InfraSettings(port_offset=20_000)
    for name, value in infra.app_environment().items():
        monkeypatch.setenv(name, value)
    application = Settings()
    assert application.kafka_brokers == ["127.0.0.1:29092"]
    assert application.postgres_dsn.get_secret_value() == infra.postgres_dsn()
    assert len(application.postgres_replica_dsns) == 2
    assert application.redis_nodes == ["127.0.0.1:27001", "127.0.0.1:27002", "127.0.0.1:27003"]


def test_an_offset_moves_every_port_and_the_data() -> None:
    plain, moved = InfraSettings(), InfraSettings(port_offset=20_000)
    assert moved.all_ports == [port + 20_000 for port in plain.all_ports]
    assert not set(moved.all_ports) & set(plain.all_ports)
    assert moved.data_dir != plain.data_dir


def test_the_tests_ports_stay_below_those_of_outgoing_connections() -> None:
    assert max(InfraSettings(port_offset=20_000).all_ports) < 32_768


def test_a_port_set_by_name_is_taken_as_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFRA_PORT_OFFSET", "100")
    monkeypatch.setenv("INFRA_KAFKA_PORT", "19092")
    monkeypatch.setenv("INFRA_REDIS_PORTS", "17001, 17002,17003")
    infra = InfraSettings()
    assert infra.kafka_port == 19_092
    assert infra.redis_ports == [17_001, 17_002, 17_003]
    assert infra.connect_port == 8_183


def test_one_port_for_two_servers_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"\[9093\] are given to two servers"):
        InfraSettings(kafka_port=9_093)
