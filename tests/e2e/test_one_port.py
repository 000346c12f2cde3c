"""Several web workers on one port: clients that keep their connections, as balancers do, and some that do not."""

import asyncio
from collections import Counter
from pathlib import Path

import aiohttp
import pytest

from app.config.settings import Role, Settings
from app.config.topics import TopicNames
from app.core.models import Batch
from storage.stores import Stores
from tests.e2e.workers import Worker, until_logged
from tests.rows import entity

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


async def test_two_share_it_and_one_leaves_without_dropping_a_request(
    settings: Settings, topics: TopicNames, tmp_path: Path, unused_tcp_port: int
) -> None:
    stores = await Stores.open(settings)
    await stores.writer.write(Batch(entities=[entity("a")]))
    await stores.close()
    web = settings.model_copy(update={"roles": [Role.WEB], "web_port": unused_tcp_port})
    url = f"http://127.0.0.1:{unused_tcp_port}/v1/graph/by-reference/user/a"
    shared = {"PROFILE_WEB_REUSE_PORT": "true"}
    with (
        Worker(web, tmp_path / "one.log", **shared) as one,
        Worker(web, tmp_path / "two.log", **shared) as two,
    ):
        for worker in (one, two):
            await until_logged(worker, "listening on", within_s=60)
        statuses: Counter[int] = Counter()
        stop = asyncio.Event()

        async def ask(connector: aiohttp.TCPConnector) -> None:
            async with aiohttp.ClientSession(connector=connector) as session:
                while not stop.is_set():
                    async with session.get(url) as response:
                        statuses[response.status] += 1

        askers = [asyncio.create_task(ask(aiohttp.TCPConnector(force_close=n % 2 == 0))) for n in range(16)]
        await asyncio.sleep(1)
        assert await one.terminate(within_s=20) == 0
        before = statuses[200]
        await asyncio.sleep(1)
        stop.set()
        await asyncio.gather(*askers)
        assert statuses[200] > before > 0
        assert set(statuses) == {200}
