"""Servers that die or hang: reads go on, writes do not wait, and what was missed is made good."""

import asyncio
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from redis import Redis
from redis.exceptions import RedisError

from app.config.settings import Settings
from app.core.errors import TransientError
from app.core.models import Batch
from app.ports.graph import Answer
from infra.settings import InfraSettings
from storage.stores import Stores
from tests.proxy import Proxy, proxied
from tests.rows import prop, user
from tests.stack import with_primary

pytestmark = pytest.mark.integration


class OwnRedis:
    """A Redis Cluster of one node, which a test may kill and stop."""

    def __init__(self, directory: Path, port: int, bus_port: int) -> None:
        self.address = f"127.0.0.1:{port}"
        self._command = [
            *("redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(directory)),
            *(
                "--cluster-enabled",
                "yes",
                "--cluster-port",
                str(bus_port),
                "--save",
                "",
                "--appendonly",
                "no",
            ),
        ]
        self._port = port
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self._command)
        client = Redis(port=self._port)
        for _ in range(200):
            assert self.process.poll() is None, "redis-server ended; see its output above"
            try:
                info = client.cluster("INFO")
                if info["cluster_state"] == "ok":
                    break
                if info["cluster_slots_assigned"] == "0":
                    client.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
            except RedisError:
                pass
            time.sleep(0.05)
        client.close()

    def forget_scripts(self) -> None:
        with Redis(port=self._port) as client:
            client.script_flush()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def own_redis(tmp_path: Path, unused_tcp_port_factory: object) -> Iterator[OwnRedis]:
    assert callable(unused_tcp_port_factory)
    server = OwnRedis(tmp_path, unused_tcp_port_factory(), unused_tcp_port_factory())
    yield server
    server.process.send_signal(signal.SIGCONT)
    server.kill()


@pytest.fixture
async def cached(settings: Settings, own_redis: OwnRedis) -> AsyncIterator[Stores]:
    stores = await Stores.open(settings.model_copy(update={"redis_nodes": [own_redis.address]}))
    yield stores
    await stores.close()


async def read(stores: Stores) -> Answer:
    answer = await stores.reader.by_reference(user("a"), depth=1, since=None)
    assert answer is not None
    return answer


async def hit(stores: Stores) -> Answer:
    """Read until the cache is used again."""
    for _ in range(100):
        answer = await read(stores)
        if answer.cache == "hit":
            return answer
        await asyncio.sleep(0.1)
    raise AssertionError("The cache was not used again within 10 s.")


async def test_a_killed_redis_costs_little_and_comes_back_fresh(cached: Stores, own_redis: OwnRedis) -> None:
    await cached.writer.write(Batch(properties=[prop("a", "f", "1")]))
    await hit(cached)
    own_redis.kill()
    for version in range(2, 6):
        await cached.writer.write(Batch(properties=[prop("a", "f", str(version), version)]))
        answer = await read(cached)
        assert (answer.cache, answer.stored, answer.verified) == ("bypass", False, True)
        assert f'"value": {version}'.encode() in answer.body
    own_redis.start()
    assert b'"value": 5' in (await hit(cached)).body


async def test_a_redis_that_lost_its_scripts_gets_them_again(cached: Stores, own_redis: OwnRedis) -> None:
    await cached.writer.write(Batch(properties=[prop("a", "f", "1")]))
    await hit(cached)
    own_redis.forget_scripts()
    await cached.writer.write(Batch(properties=[prop("a", "f", "2", 2)]))
    assert b'"value": 2' in (await read(cached)).body
    assert b'"value": 2' in (await hit(cached)).body


async def test_a_hanging_redis_that_wakes_up_serves_nothing_old(
    cached: Stores, own_redis: OwnRedis, settings: Settings
) -> None:
    await cached.writer.write(Batch(properties=[prop("a", "f", "1")]))
    await hit(cached)
    own_redis.process.send_signal(signal.SIGSTOP)
    started = time.monotonic()
    await cached.writer.write(Batch(properties=[prop("a", "f", "2", 2)]))
    assert time.monotonic() - started < 2 * settings.redis_timeout_s + 0.5
    started = time.monotonic()
    for _ in range(50):
        assert b'"value": 2' in (await read(cached)).body
    assert time.monotonic() - started < 3
    own_redis.process.send_signal(signal.SIGCONT)
    for _ in range(40):
        assert b'"value": 2' in (await read(cached)).body
        await asyncio.sleep(0.02)
    assert b'"value": 2' in (await hit(cached)).body


@pytest.fixture
async def primary(postgres_stack: InfraSettings) -> AsyncIterator[Proxy]:
    async with proxied("127.0.0.1", postgres_stack.postgres_ports[0]) as proxy:
        yield proxy


@pytest.fixture
async def replica(postgres_stack: InfraSettings) -> AsyncIterator[Proxy]:
    async with proxied("127.0.0.1", postgres_stack.postgres_ports[1]) as proxy:
        yield proxy


def through(dsn: SecretStr, stack: InfraSettings, node: int, proxy: Proxy) -> SecretStr:
    return SecretStr(dsn.get_secret_value().replace(f":{stack.postgres_ports[node]}/", f":{proxy.port}/"))


@pytest.fixture
async def stores(
    settings: Settings, postgres_stack: InfraSettings, primary: Proxy, replica: Proxy
) -> AsyncIterator[Stores]:
    first, *_ = settings.postgres_replica_dsns
    opened = await Stores.open(
        with_primary(
            settings, lambda dsn: through(SecretStr(dsn), postgres_stack, 0, primary).get_secret_value()
        ).model_copy(update={"postgres_replica_dsns": [through(first, postgres_stack, 1, replica)]})
    )
    yield opened
    await opened.close()


async def test_with_the_primary_down_a_replica_answers_and_nothing_is_stored(
    stores: Stores, primary: Proxy, replica: Proxy
) -> None:
    await stores.writer.write(Batch(properties=[prop("a", "f", "1"), prop("b", "f", "1")]))
    cached = await read(stores)
    async with asyncio.timeout(60):
        while (await read(stores)).cache != "hit":  # noqa: ASYNC110 - nothing tells when an answer is stored
            await asyncio.sleep(0.02)
    primary.set("refuse")
    assert (await read(stores)).cache == "hit"
    for _ in range(2):
        answer = await stores.reader.by_property("f", "1", depth=1, since=None, limit=10, after=0)
        assert (answer.verified, answer.stored, answer.cache) == (False, False, "miss")
        assert cached.body in answer.body
    with pytest.raises(TransientError):
        await stores.writer.write(Batch(properties=[prop("a", "f", "2", 2)]))
    states = {state.name: state.ready for probe in stores.probes for state in await probe.check()}
    assert states == {"postgres-primary": False, "postgres-replica-1": True, "redis": True}
    replica.set("refuse")
    with pytest.raises(TransientError):
        await stores.reader.by_property("f", "1", depth=1, since=None, limit=10, after=0)
    primary.set("pass")
    replica.set("pass")
    for _ in range(100):
        try:
            await stores.writer.write(Batch(properties=[prop("a", "f", "2", 2)]))
            break
        except TransientError:
            await asyncio.sleep(0.1)
    assert b'"value": 2' in (await read(stores)).body


async def test_a_replica_that_is_gone_is_left_out(stores: Stores, replica: Proxy) -> None:
    long = "x" * 300  # too long to be cached, so a replica is asked
    await stores.writer.write(Batch(properties=[prop("a", "f", f'"{long}"')]))
    for mode in ("pass", "refuse", "pass"):
        replica.set(mode)  # type: ignore[arg-type]
        for _ in range(3):
            answer = await stores.reader.by_property("f", long, depth=1, since=None, limit=10, after=0)
            assert answer.verified
            assert answer.body != b"[]"
