"""A node of Redis that does as it is told, and connections to it."""

from collections.abc import AsyncIterator

import pytest

from storage.redis.cluster import RedisNodes
from tests.unit.storage.redis.fake_redis import TIMEOUT_S, FakeRedis, fake_redis


@pytest.fixture
async def server() -> AsyncIterator[FakeRedis]:
    async with fake_redis() as node:
        yield node


@pytest.fixture
async def nodes(server: FakeRedis) -> AsyncIterator[RedisNodes]:
    opened = RedisNodes([server.address], timeout_s=TIMEOUT_S)
    yield opened
    await opened.close()
