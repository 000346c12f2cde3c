"""doctor comes to each server as a worker does: with its files, user and password."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from app.commands import doctor
from app.config.settings import Settings
from app.core.check_results import Level
from app.core.errors import FatalError
from app.doctor import kafka as doctor_kafka
from storage.doctor import redis as doctor_redis


def settings(**changes: Any) -> Settings:
    return Settings(_env_file=None, **changes)


if TYPE_CHECKING:
    from storage.redis.security import RedisSecurity


class Asked(FatalError):
    """Ends the check where the client has been made."""


async def test_connect_with_its_ca_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: dict[str, Any] = {}

    class Pool:
        def terminate(self) -> None: ...

    async def slots_of(_: Settings) -> tuple[object, Pool]:
        return object(), Pool()

    def client(url: str, **options: Any) -> object:
        seen.update(options, url=url)
        raise Asked("enough")

    monkeypatch.setattr("storage.doctor.postgres.slots_of", slots_of)
    monkeypatch.setattr(doctor, "ConnectClient", client)
    ca = tmp_path / "ca.pem"
    found = await doctor._connector(settings(connect_url="https://c:8083", connect_ca_file=ca))
    assert [finding.what for finding in found] == ["enough"]
    assert (seen["url"], seen["ca_file"]) == ("https://c:8083", ca)


async def test_kafka_with_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def client(**options: Any) -> object:
        seen.update(options)
        raise Asked("enough")

    monkeypatch.setattr(doctor_kafka, "AIOKafkaAdminClient", client)
    (finding,) = await doctor_kafka.kafka_findings(
        settings(
            kafka_security_protocol="SASL_PLAINTEXT", kafka_sasl_username="u", kafka_sasl_password="a-secret"
        )
    )
    assert (finding.level, finding.what) == (Level.FAIL, "enough")
    assert (seen["security_protocol"], seen["sasl_plain_password"]) == ("SASL_PLAINTEXT", "a-secret")


async def test_redis_with_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, RedisSecurity] = {}

    class Nodes:
        def __init__(self, _: object, **options: Any) -> None:
            seen.update(security=options["security"])

        async def ask_each(self, _: object) -> dict[str, Any]:
            return {}

        async def close(self) -> None: ...

    monkeypatch.setattr(doctor_redis, "RedisNodes", Nodes)
    assert await doctor_redis.redis_findings(settings(redis_password="a-secret")) == []
    assert seen["security"].auth == ("AUTH", "a-secret")


async def test_files_that_are_not_there_are_findings(tmp_path: Path) -> None:
    none = tmp_path / "none.pem"
    (redis,) = await doctor_redis.redis_findings(settings(redis_tls=True, redis_ca_file=none))
    (kafka,) = await doctor_kafka.kafka_findings(settings(kafka_security_protocol="SSL", kafka_ca_file=none))
    assert {redis.level, kafka.level} == {Level.FAIL}
    assert "can't be used" in redis.what
    assert "can't be used" in kafka.what
