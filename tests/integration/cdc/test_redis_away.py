"""Redis hangs and a worker dies in it: once both are back and the lag is gone, nothing is stale."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from app.config.settings import Role, Settings
from storage.stores import Stores
from tests.e2e.workers import Worker
from tests.integration.cdc.test_pipeline import Connection, entity
from tests.integration.cdc.test_repeater import committed, ends_of, until
from tests.integration.storage.test_outages import OwnRedis

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

AWAY_S = 15.0
COUNT = 60


@pytest.fixture
def own_redis(tmp_path: Path, unused_tcp_port_factory: object) -> Iterator[OwnRedis]:
    assert callable(unused_tcp_port_factory)
    server = OwnRedis(tmp_path, unused_tcp_port_factory(), unused_tcp_port_factory())
    yield server
    server.process.send_signal(signal.SIGCONT)
    server.kill()


@pytest.fixture
def own_settings(settings: Settings, own_redis: OwnRedis) -> Settings:
    return settings.model_copy(update={"redis_nodes": [own_redis.address], "roles": [Role.CDC]})


@pytest.fixture
async def stores(own_settings: Settings) -> AsyncIterator[Stores]:
    stores = await Stores.open(own_settings)
    yield stores
    await stores.close()


async def told(stores: Stores, ids: list[int]) -> tuple[list[str], set[str]]:
    """What is read of each, and from where."""
    values, outcomes = [], set()
    for number in ids:
        answer = await stores.reader.graph(number, depth=1, since=None)
        assert answer is not None
        values.append(json.loads(answer.body or b"")["properties"]["n"]["value"])
        outcomes.add(answer.cache)
    return values, outcomes


@pytest.mark.usefixtures("connector")
async def test_nothing_is_stale_once_both_are_back(
    own_settings: Settings,
    own_redis: OwnRedis,
    stores: Stores,
    sql: Connection,
    tmp_path: Path,
) -> None:
    loop = asyncio.get_running_loop()
    old = '{"n": {"value": "old", "reference_date": "2025-01-01T00:00:00.000000Z"}}'
    ids = [await entity(sql, "user", f"u-{n}", old) for n in range(COUNT)]
    change = (
        "UPDATE entities SET properties = jsonb_set(properties, '{n,value}', '\"new\"') WHERE id = ANY ($1)"
    )

    async def is_done() -> bool:
        ends = await ends_of(own_settings)
        return ends >= 2 * COUNT and await committed(own_settings, own_settings.app_id) == ends

    async def is_cached() -> bool:
        return (await told(stores, ids))[1] == {"hit"}

    with Worker(own_settings, tmp_path / "killed.log") as worker:

        async def is_told() -> bool:
            return await committed(own_settings, own_settings.app_id) == COUNT

        await until(is_told, timeout_s=60)
        await until(is_cached)
        own_redis.process.send_signal(signal.SIGSTOP)
        away_since = loop.time()
        await sql.execute(change, ids[: COUNT // 2])  # by a writer that dies before it tells the caches
        await asyncio.sleep(AWAY_S / 2)
        assert worker.process.poll() is None, "Redis is no reason to end"
        worker.kill()
    await sql.execute(change, ids[COUNT // 2 :])
    await asyncio.sleep(max(0.0, away_since + AWAY_S - loop.time()))
    assert await committed(own_settings, own_settings.app_id) == COUNT, (
        "an offset was committed that no cache took"
    )
    own_redis.process.send_signal(signal.SIGCONT)

    fresh = await Stores.open(own_settings)
    try:

        async def is_stale() -> bool:
            # Of the first half Redis may find commands in its socket's buffer, from the worker that is dead.
            return await told(fresh, ids[COUNT // 2 :]) == (["old"] * (COUNT - COUNT // 2), {"hit"})

        await until(is_stale)  # else there is nothing to heal
        with Worker(own_settings, tmp_path / "again.log"):
            await until(is_done, timeout_s=60)
            for reader in (fresh, stores):
                assert (await told(reader, ids))[0] == ["new"] * COUNT
            report = await stores.auditor.audit(sample=1000, grace_s=0.5)
            assert report.mismatches == []
    finally:
        await fresh.close()
