"""What doctor says of connections that leave this machine in the clear."""

from typing import Any

import pytest

from app.config.settings import Settings
from app.core.check_results import Level
from app.doctor.transport import leaves_this_machine, transport_findings


def settings(**changes: Any) -> Settings:
    return Settings(_env_file=None, **changes)


def told(**changes: Any) -> dict[str, Level]:
    found = transport_findings(settings(**changes))
    assert all(("in the clear" in each.what) is bool(each.mend) for each in found)
    return {each.name: each.level for each in found}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {}),
        ({"postgres_dsn": "postgresql://u:p@db/d"}, {"transport.postgres": Level.WARN}),
        ({"postgres_dsn": "postgresql://u:p@db/d?sslmode=prefer"}, {"transport.postgres": Level.WARN}),
        ({"postgres_dsn": "postgresql://u:p@db/d?sslmode=verify-full"}, {"transport.postgres": Level.OK}),
        (
            {"postgres_dsn": "postgresql://u:p@127.0.0.1,[2001:db8::1]:1/d"},
            {"transport.postgres": Level.WARN},
        ),
        ({"postgres_dsn": "postgresql://u:p@/d?host=/run/postgresql"}, {}),
        ({"postgres_dsn": "postgresql://u:p@/d?host=db"}, {"transport.postgres": Level.WARN}),
        ({"postgres_dsn": "postgresql://u:p@[::1]:5432/d"}, {}),
        (
            {"postgres_replica_dsns": "postgresql://u:p@localhost/d,postgresql://u:p@r2/d"},
            {"transport.replica-2": Level.WARN},
        ),
        ({"redis_nodes": ["127.0.0.1:7001", "r:7002"]}, {"transport.redis": Level.WARN}),
        ({"redis_nodes": ["r:7002"], "redis_tls": True}, {"transport.redis": Level.OK}),
        ({"redis_nodes": ["r:7002"], "cache_enabled": False}, {"transport.redis": Level.WARN}),
        ({"redis_nodes": []}, {}),
        ({"kafka_brokers": ["k:9092"]}, {"transport.kafka": Level.WARN}),
        (
            {"kafka_brokers": ["k:9092"], "kafka_security_protocol": "SASL_PLAINTEXT"},
            {"transport.kafka": Level.WARN},
        ),
        ({"kafka_brokers": ["k:9092"], "kafka_security_protocol": "SASL_SSL"}, {"transport.kafka": Level.OK}),
        ({"connect_url": "http://u:p@connect:8083"}, {"transport.connect": Level.WARN}),
        ({"connect_url": "http://u:p@connect:8083", "roles": "web"}, {}),
        ({"connect_url": "https://connect:8083"}, {"transport.connect": Level.OK}),
        ({"connect_postgres_dsn": "postgresql://u:p@db/d"}, {"transport.debezium": Level.WARN}),
    ],
)
def test_each_connection(
    changes: dict[str, Any], expected: dict[str, Level], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PGSSLMODE", raising=False)
    assert told(**changes) == expected
    assert leaves_this_machine(settings(**changes)) is bool(expected)


def test_libpq_has_a_default_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    assert told(postgres_dsn="postgresql://u:p@db/d") == {"transport.postgres": Level.OK}


def test_no_password_is_told() -> None:
    password = "a-secret"
    found = transport_findings(
        settings(
            postgres_dsn=f"postgresql://u:{password}@db/d", connect_url=f"http://u:{password}@connect:8083"
        )
    )
    assert len(found) == 2
    assert password not in repr(found)


def test_a_web_server_for_others_leaves_it() -> None:
    assert leaves_this_machine(settings(web_host="0.0.0.0"))
    assert not leaves_this_machine(settings(web_host="0.0.0.0", roles="entities-edges"))
