"""A stack of its own, taken up, down, killed and reset."""

import asyncio
import pwd
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from redis.asyncio import RedisCluster

from infra import stack
from infra.service import Service
from infra.services import select
from infra.settings import InfraSettings
from tests.stack import infra_settings

pytestmark = pytest.mark.integration

SERVICES = ["postgres", "redis", "kafka"]


@pytest.fixture
def settings() -> Iterator[InfraSettings]:
    """Ports beside those of the tests' own stack."""
    settings = InfraSettings(port_offset=infra_settings().port_offset + 1_500)
    stack.reset(settings)
    yield settings
    stack.reset(settings)


def _pids(services: list[Service]) -> list[int | None]:
    return [process.pid() for service in services for process in service.processes()]


async def _write(settings: InfraSettings) -> None:
    connection = await asyncpg.connect(settings.postgres_dsn())
    await connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    await connection.close()
    async with RedisCluster(host="127.0.0.1", port=settings.redis_ports[0]) as redis:
        await redis.set("kept", "42")
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_broker)
    await admin.start()
    await admin.create_topics([NewTopic("kept", 1, 1, topic_configs={"retention.ms": "-1"})])
    await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=settings.kafka_broker) as producer:
        await producer.send_and_wait("kept", b"42", timestamp_ms=852_076_800_000)  # January 1997


async def _assert_kept(settings: InfraSettings) -> None:
    for node in range(3):
        connection = await asyncpg.connect(settings.postgres_dsn(node))
        assert await connection.fetchval("SELECT answer FROM kept") == 42
        await connection.close()
    async with RedisCluster(host="127.0.0.1", port=settings.redis_ports[0]) as redis:
        # A cache that came back with what it once held would bring old answers back.
        assert await redis.get("kept") is None
    async with AIOKafkaConsumer(
        "kept", bootstrap_servers=settings.kafka_broker, auto_offset_reset="earliest"
    ) as consumer:
        assert (await consumer.getone()).value == b"42"


def _assert_closed_to_others(settings: InfraSettings, services: list[Service]) -> None:
    """Directories are their servers' alone, and neither a command line nor a log has a password."""
    for service in services:
        assert service.directory.stat().st_mode & 0o777 == 0o700, service.name
        for process in service.processes():
            status = Path(f"/proc/{process.pid()}/status").read_text()
            (uid,) = re.findall(r"^Uid:\s+(\d+)", status, re.MULTILINE)
            assert service.user is None or pwd.getpwuid(int(uid)).pw_name == service.user
            told = Path(f"/proc/{process.pid()}/cmdline").read_text() + process.log_file.read_text()
            assert settings.postgres_password not in told
    assert settings.data_dir.stat().st_mode & 0o777 == 0o711


async def test_data_survives_down_and_a_second_up_is_harmless(settings: InfraSettings) -> None:
    services = await asyncio.to_thread(stack.up, settings, SERVICES)
    await _write(settings)
    pids = _pids(services)
    assert None not in pids
    _assert_closed_to_others(settings, services)

    await asyncio.to_thread(stack.up, settings, SERVICES)
    assert _pids(services) == pids, "the second up started nothing"

    await asyncio.to_thread(stack.down, settings)
    assert set(_pids(services)) == {None}
    assert {line.state for line in stack.status(settings)} == {"stopped"}

    await asyncio.to_thread(stack.up, settings, SERVICES)
    await _assert_kept(settings)

    primary = select(settings, ["postgres"])[0].processes()[0]
    primary.signal(signal.SIGKILL)
    redis_node = select(settings, ["redis"])[0].processes()[0]
    redis_node.stop(10)
    await asyncio.to_thread(stack.up, settings, SERVICES)
    await _assert_kept(settings)

    await asyncio.to_thread(stack.reset, settings)
    assert not (settings.data_dir / "postgres").exists()
    assert not (settings.data_dir / "kafka").exists()
