"""A Redis Cluster of one node that speaks TLS alone, to a user of its ACL."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.config.settings import Settings
from app.core.errors import TransientError
from infra.process import ServerProcess
from infra.service import run
from storage.redis.cluster import RedisNodes
from storage.redis.security import RedisSecurity
from storage.redis.subscription import Subscription
from tests.integration.security.conftest import Certificates, free_port

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def port(scratch: Path, certificates: Certificates) -> Iterator[int]:
    home = scratch / "redis"
    home.mkdir()
    port = free_port()
    (home / "redis.conf").write_text(
        f"port 0\ntls-port {port}\nbind 127.0.0.1\ndir {home}\nsave ''\ncluster-enabled yes\ntls-cluster yes\n"
        f"cluster-announce-ip 127.0.0.1\ncluster-port {free_port()}\n"
        f"tls-cert-file {certificates.certificate('server')}\ntls-key-file {certificates.key('server')}\n"
        f"tls-ca-cert-file {certificates.ca}\ntls-auth-clients yes\n"
        "user default off\nuser profile on >a-password ~* &* +@all\n"
    )
    process = ServerProcess(name="redis", directory=home, port=port)
    process.start(["redis-server", str(home / "redis.conf")])
    cli = [
        *("redis-cli", "-p", str(port), "--tls", "--cacert", str(certificates.ca), "--no-auth-warning"),
        *("--cert", str(certificates.certificate("client")), "--key", str(certificates.key("client"))),
        *("--user", "profile", "--pass", "a-password"),
    ]
    deadline = time.monotonic() + 30
    while "Ready to accept" not in process.log_tail():
        assert time.monotonic() < deadline, process.log_tail()
        time.sleep(0.1)
    run([*cli, "cluster", "addslotsrange", "0", "16383"], purpose="Making a cluster of one")
    while "cluster_state:ok" not in run([*cli, "cluster", "info"], purpose="Asking the cluster"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    yield port
    process.stop(10)


def settings_of(port: int, certificates: Certificates, **changed: object) -> Settings:
    values = {
        "redis_nodes": [f"127.0.0.1:{port}"],
        "redis_tls": True,
        "redis_ca_file": certificates.ca,
        "redis_client_cert_file": certificates.certificate("client"),
        "redis_client_key_file": certificates.key("client"),
        "redis_username": "profile",
        "redis_password": "a-password",
    }
    return Settings.model_validate({**values, **changed})


async def test_commands_and_subscriptions_come_by_tls(port: int, certificates: Certificates) -> None:
    settings = settings_of(port, certificates)
    nodes = RedisNodes(settings.redis_nodes, timeout_s=5, security=RedisSecurity.of(settings))
    heard = await Subscription.open(("127.0.0.1", port), b"c", timeout_s=5, security=nodes.security)
    try:
        assert await nodes.run([(0, ("SET", "{06S}", b"1")), (0, ("GET", "{06S}"))]) == [b"OK", b"1"]
        await nodes.run([(0, ("SPUBLISH", "c", b"m"))])
        assert await heard.message() == b"m"
    finally:
        heard.close()
        await nodes.close()


@pytest.mark.parametrize(
    "changed",
    [
        {"redis_tls": False},
        {"redis_password": "wrong"},
        {"redis_password": None},
        {"redis_ca_file": "stranger"},
        {"redis_client_cert_file": None},
    ],
    ids=str,
)
async def test_what_is_not_as_it_should_be_is_refused(
    port: int, certificates: Certificates, changed: dict[str, object]
) -> None:
    if changed.get("redis_ca_file"):
        changed = {"redis_ca_file": certificates.stranger}
    settings = settings_of(port, certificates, **changed)
    security = RedisSecurity.of(settings)
    nodes = RedisNodes(settings.redis_nodes, timeout_s=5, security=security)
    with pytest.raises(TransientError) as refused:
        await nodes.run([(0, ("GET", "{06S}"))])
    await nodes.close()
    with pytest.raises(TransientError):
        await Subscription.open(("127.0.0.1", port), b"c", timeout_s=5, security=security)
    assert "password" not in f"{refused.value}{security}"
