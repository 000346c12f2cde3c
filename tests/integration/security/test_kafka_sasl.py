"""A broker that asks for SASL/PLAIN, in the clear and over TLS: every client of ours, and a worker."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth
from pydantic import SecretStr

from app.config.kafka import Brokers
from app.config.settings import Role, Settings
from app.config.topics import TopicSpec
from app.core.check_results import Level
from app.core.errors import ProfileError, TransientError
from app.doctor.kafka import kafka_findings
from app.kafka.admin import create_topics
from app.kafka.client import client_options
from app.kafka.producer import DurableProducer, Outgoing
from app.kafka.reading import read_to_end
from app.worker import faust_app
from tests.e2e.workers import Worker
from tests.integration.security.certificates import Certificates
from tests.integration.security.servers import security

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]


@pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "SASL_SSL"])
async def test_every_client_comes_with_its_password(
    kafka_ports: tuple[int, int], certificates: Certificates, protocol: str
) -> None:
    port = kafka_ports[protocol == "SASL_SSL"]
    brokers = Brokers([f"127.0.0.1:{port}"], security(protocol, certificates))
    topic = f"t-{protocol}"
    assert await create_topics(brokers, [TopicSpec(name=topic, partitions=1)]) == [topic]
    producer = DurableProducer(brokers)
    await producer.publish(
        [Outgoing(topic=topic, key=b"k", value=b"v", headers=[], timestamp_ms=1_700_000_000_000)]
    )
    await producer.close()
    found = [record.value async for records in read_to_end(brokers, topic) for record in records]
    assert found == [b"v"]


async def test_fausts_transport_is_told_the_same(
    kafka_ports: tuple[int, int], certificates: Certificates
) -> None:
    settings = Settings.model_validate(
        {
            "kafka_brokers": [f"127.0.0.1:{kafka_ports[1]}"],
            "kafka_security_protocol": "SASL_SSL",
            "kafka_sasl_username": "profile",
            "kafka_sasl_password": "a-password",
            "kafka_ca_file": certificates.ca,
        }
    )
    conf = faust_app.build(settings).conf
    # As Faust's driver makes the options of its consumer and producer.
    client = AIOKafkaAdminClient(
        bootstrap_servers=settings.kafka_brokers,
        **credentials_to_aiokafka_auth(conf.broker_credentials, conf.ssl_context),
    )
    await client.start()
    assert (await client.describe_cluster())["brokers"]
    await client.close()


async def test_a_worker_consumes_and_commits_with_its_password(
    kafka_ports: tuple[int, int], certificates: Certificates, settings: Settings, db: Any, tmp_path: Path
) -> None:
    """Faust's own consumer: a record in, its row committed, and its offset."""
    mine = settings.model_copy(
        update={
            "roles": [Role.ENTITY_PROPERTIES],
            "kafka_brokers": [f"127.0.0.1:{kafka_ports[1]}"],
            "kafka_security_protocol": "SASL_SSL",
            "kafka_sasl_username": "profile",
            "kafka_sasl_password": SecretStr("a-password"),
            "kafka_ca_file": certificates.ca,
            "cache_enabled": False,
        }
    )
    await create_topics(mine.kafka, mine.topic_specs)
    producer = DurableProducer(mine.kafka)
    record = {
        "entity_reference": "a",
        "entity_type": "user",
        "field_name": "name",
        "field_value": "Ana",
        "reference_date": "2025-01-15T10:30:00Z",
    }
    topic = mine.topics.entity_properties
    sent = Outgoing(
        topic=topic,
        key=b"user:a",
        value=json.dumps(record).encode(),
        headers=[],
        timestamp_ms=1_750_000_000_000,  # after its reference date
    )
    await producer.publish([sent])
    await producer.close()
    told = {
        "PROFILE_KAFKA_SECURITY_PROTOCOL": mine.kafka_security_protocol,
        "PROFILE_KAFKA_SASL_USERNAME": mine.kafka_sasl_username,
        "PROFILE_KAFKA_SASL_PASSWORD": mine.kafka_sasl_password.get_secret_value(),
        "PROFILE_KAFKA_CA_FILE": str(mine.kafka_ca_file),
        "PROFILE_CACHE_ENABLED": "false",
    }
    with Worker(mine, tmp_path / "worker.log", **told) as worker:
        async with asyncio.timeout(90):
            while not await db.fetchval("SELECT count(*) FROM entities WHERE properties ? 'name'"):
                assert worker.process.poll() is None, worker.log[-3000:]
                await asyncio.sleep(0.1)
            while await committed(mine) < 1:
                assert worker.process.poll() is None, worker.log[-3000:]
                await asyncio.sleep(0.1)
        assert await worker.terminate(within_s=30) == 0
        assert "a-password" not in worker.log


async def committed(settings: Settings) -> int:
    """The sum of the offsets of the worker's group."""
    admin = AIOKafkaAdminClient(**client_options(settings.kafka))
    await admin.start()
    try:
        found = await admin.list_consumer_group_offsets(settings.group_id)
    finally:
        await admin.close()
    return sum(max(0, told.offset) for told in found.values())


async def test_doctor_comes_with_its_password(
    kafka_ports: tuple[int, int], certificates: Certificates, settings: Settings
) -> None:
    mine = settings.model_copy(
        update={
            "kafka_brokers": [f"127.0.0.1:{kafka_ports[1]}"],
            "kafka_security_protocol": "SASL_SSL",
            "kafka_sasl_username": "profile",
            "kafka_sasl_password": SecretStr("a-password"),
            "kafka_ca_file": certificates.ca,
        }
    )
    found = await kafka_findings(mine)
    assert (found[0].level, found[0].what) == (Level.OK, "1 brokers answer")


@pytest.mark.parametrize(
    ("protocol", "password", "trusts"),
    [("PLAINTEXT", "", True), ("SASL_PLAINTEXT", "wrong", True), ("SASL_SSL", "a-password", False)],
)
async def test_what_is_not_as_it_should_be_is_refused(
    kafka_ports: tuple[int, int], certificates: Certificates, protocol: str, password: str, *, trusts: bool
) -> None:
    port = kafka_ports[protocol == "SASL_SSL"]
    known = security(protocol, certificates if trusts else None, password)
    with pytest.raises(ProfileError) as refused:
        async with asyncio.timeout(60):
            await create_topics(Brokers([f"127.0.0.1:{port}"], known), [TopicSpec(name="t", partitions=1)])
    assert isinstance(refused.value, TransientError)
    assert "a-password" not in f"{refused.value}{known!r}"
