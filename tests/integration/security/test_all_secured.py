"""One worker with TLS and passwords towards all servers, by logins of the database's roles: a record in, a read out."""

import asyncio
import json
from pathlib import Path

import aiohttp
import asyncpg
import pytest

from app.config.settings import Role, Settings
from app.kafka.admin import create_topics
from app.kafka.producer import DurableProducer, Outgoing
from storage.postgres.migrator import migrate
from storage.postgres.roles import DatabaseRole, Login, make_login
from tests.e2e.workers import Worker
from tests.integration.security.certificates import Certificates, free_port
from tests.integration.security.servers import secured, settings_of

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

LOGINS = {
    DatabaseRole.READER: Login(name="r", password="p"),
    DatabaseRole.WRITER: Login(name="w", password="x"),
}
RECORD = {
    "entity_reference": "a",
    "entity_type": "user",
    "field_name": "name",
    "field_value": "Ana",
    "reference_date": "2025-01-15T10:30:00Z",
}


async def test_a_record_goes_in_and_comes_out_over_tls_alone(
    kafka_ports: tuple[int, int], tls_dsn: str, redis_port: int, certificates: Certificates, tmp_path: Path
) -> None:
    owner = secured(tls_dsn, certificates)
    await migrate(owner)
    for role, login in LOGINS.items():
        await make_login(owner, login, role)

    def as_login(role: DatabaseRole) -> str:
        return owner.replace("profile:test@", f"{LOGINS[role].name}:{LOGINS[role].password}@")

    environment = {
        "PROFILE_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "PROFILE_KAFKA_SASL_USERNAME": "profile",
        "PROFILE_KAFKA_SASL_PASSWORD": "a-password",
        "PROFILE_KAFKA_CA_FILE": str(certificates.ca),
        "PROFILE_REDIS_TLS": "true",
        "PROFILE_REDIS_CA_FILE": str(certificates.ca),
        "PROFILE_REDIS_CLIENT_CERT_FILE": str(certificates.certificate("client")),
        "PROFILE_REDIS_CLIENT_KEY_FILE": str(certificates.key("client")),
        "PROFILE_REDIS_USERNAME": "profile",
        "PROFILE_REDIS_PASSWORD": "a-password",
        "PROFILE_AUTH": "off",
    }
    settings = settings_of(
        redis_port,
        certificates,
        roles=[Role.ENTITY_PROPERTIES, Role.WEB],
        kafka_brokers=[f"127.0.0.1:{kafka_ports[1]}"],
        kafka_security_protocol="SASL_SSL",
        kafka_sasl_username="profile",
        kafka_sasl_password="a-password",
        kafka_ca_file=certificates.ca,
        postgres_dsn=owner,
        postgres_read_dsn=as_login(DatabaseRole.READER),
        postgres_write_dsn=as_login(DatabaseRole.WRITER),
        postgres_replica_dsns=[],
        topic_prefix="all-secured.",
        app_id="all-secured",
        cache_prefix="all-secured",
        topic_partitions=1,
        source_topic_partitions=1,
        web_port=free_port(),
    )
    await create_topics(settings.kafka, settings.topic_specs)
    producer = DurableProducer(settings.kafka)
    topic = settings.topics.entity_properties
    await producer.publish(
        [
            Outgoing(
                topic=topic,
                key=b"user",
                value=json.dumps(RECORD).encode(),
                headers=[],
                timestamp_ms=1_750_000_000_000,
            )
        ]
    )
    await producer.close()

    with Worker(settings, tmp_path / "worker.log", **environment) as worker:
        url = f"http://127.0.0.1:{settings.web_port}"
        await _reads(worker, f"{url}/v1/graph/by-reference/user/a", settings)
        await _seen_by_postgresql(owner)
        assert await worker.terminate(within_s=60) == 0
    assert "a-password" not in worker.log


async def _reads(worker: Worker, url: str, settings: Settings) -> None:
    """Until the record is read, and then from Redis or memory."""
    async with aiohttp.ClientSession() as client, asyncio.timeout(120):
        caches = set()
        while "hit" not in caches:
            assert worker.process.poll() is None, worker.log[-3000:]
            try:
                async with client.get(url) as response:
                    if response.status == 200:
                        assert "Ana" in await response.text()
                        caches.add("hit" if "hit" in response.headers["Cache-Status"] else "")
            except aiohttp.ClientConnectorError:
                pass  # it has not started yet
            await asyncio.sleep(0.2)


async def _seen_by_postgresql(owner: str) -> None:
    connection = await asyncpg.connect(owner)
    try:
        sessions = await connection.fetch(
            "SELECT usename, ssl FROM pg_stat_activity JOIN pg_stat_ssl USING (pid) "
            "WHERE application_name LIKE 'user-profile %'"
        )
    finally:
        await connection.close()
    assert {row["usename"] for row in sessions} == {"r", "w"}
    assert all(row["ssl"] for row in sessions)
