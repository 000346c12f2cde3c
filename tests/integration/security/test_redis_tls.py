"""A Redis Cluster of one node that speaks TLS alone, to a user of its ACL."""

import pytest

from app.core.errors import TransientError
from storage.redis.cluster import RedisNodes
from storage.redis.security import RedisSecurity
from storage.redis.subscription import Subscription
from tests.integration.security.certificates import Certificates
from tests.integration.security.servers import settings_of

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


async def test_commands_and_subscriptions_come_by_tls(redis_port: int, certificates: Certificates) -> None:
    settings = settings_of(redis_port, certificates)
    nodes = RedisNodes(settings.redis_nodes, timeout_s=5, security=RedisSecurity.of(settings))
    heard = await Subscription.open(("127.0.0.1", redis_port), b"c", timeout_s=5, security=nodes.security)
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
    redis_port: int, certificates: Certificates, changed: dict[str, object]
) -> None:
    if changed.get("redis_ca_file"):
        changed = {"redis_ca_file": certificates.stranger}
    settings = settings_of(redis_port, certificates, **changed)
    security = RedisSecurity.of(settings)
    nodes = RedisNodes(settings.redis_nodes, timeout_s=5, security=security)
    with pytest.raises(TransientError) as refused:
        await nodes.run([(0, ("GET", "{06S}"))])
    await nodes.close()
    with pytest.raises(TransientError):
        await Subscription.open(("127.0.0.1", redis_port), b"c", timeout_s=5, security=security)
    assert "password" not in f"{refused.value}{security}"
