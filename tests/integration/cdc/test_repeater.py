"""The repeater on real servers: what a writer that died did not tell the caches."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from app.config.settings import Settings
from app.core.models import Changes, Lookup
from app.ports.caching import Invalidator
from cdc.invalidation.repeater import CacheRepeater
from storage.cache.lookups import lookups_of
from storage.stores import Stores
from tests.integration.cdc.conftest import PARTITIONS, ends

pytestmark = pytest.mark.integration
Connection = Any  # asyncpg.Connection[asyncpg.Record]


class Recording:
    """Passes on to an invalidator, or refuses, and remembers what it was asked."""

    def __init__(self, inner: Invalidator | None) -> None:
        self.inner = inner
        self.asked: list[Changes] = []

    @property
    def behind(self) -> bool:
        return self.inner is None or self.inner.behind

    async def submit(self, changes: Changes) -> None:
        self.asked.append(changes)
        if self.inner is not None:
            await self.inner.submit(changes)


@pytest.fixture
async def stores(settings: Settings) -> AsyncIterator[Stores]:
    stores = await Stores.open(settings)
    yield stores
    await stores.close()


def repeater(settings: Settings, stores: Stores, invalidator: Invalidator) -> CacheRepeater:
    return CacheRepeater(
        brokers=settings.kafka_brokers,
        topic=settings.topics.cdc,
        group_id=settings.group_id,
        invalidator=invalidator,
        commit_log=stores.commit_log,
        lookups_of=lookups_of,
        max_backoff_s=0.05,
    )


async def committed(settings: Settings, group_id: str = "") -> int:
    """The sum of the offsets that the repeater has committed, by default that of `repeater`."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka_brokers,
        group_id=f"{group_id or settings.group_id}-cache-repeater",
        enable_auto_commit=False,
    )
    partitions: Sequence[TopicPartition] = [
        TopicPartition(settings.topics.cdc, number) for number in range(PARTITIONS)
    ]
    await consumer.start()
    try:
        consumer.assign(partitions)
        return sum([await consumer.committed(partition) or 0 for partition in partitions])
    finally:
        await consumer.stop()


async def ends_of(settings: Settings) -> int:
    """How many changes the CDC topic holds."""
    return await ends(settings.kafka_brokers[0], settings.topics.cdc)


async def until(condition: Callable[[], Awaitable[bool]], *, timeout_s: float = 20) -> None:
    async with asyncio.timeout(timeout_s):
        while not await condition():  # noqa: ASYNC110 - servers tell nobody
            await asyncio.sleep(0.05)


async def test_a_stale_answer_heals(
    settings: Settings, stores: Stores, connector: str, sql: Connection
) -> None:
    user = await sql.fetchval(
        "INSERT INTO entities (type, reference, properties) VALUES ('user', 'u-1', $1) RETURNING id",
        '{"email": {"value": "old@x", "reference_date": "2025-01-01T00:00:00.000000Z"}}',
    )

    async def answer() -> tuple[str, str, int]:
        found = await stores.reader.graph(user, depth=1, since=None)
        listed = await stores.reader.by_property("email", "new@x", depth=1, since=None, limit=10, after=0)
        assert found is not None
        return (
            json.loads(found.body)["properties"]["email"]["value"],
            found.cache,
            len(json.loads(listed.body)),
        )

    async def is_cached() -> bool:
        return (await answer())[1] == "hit"

    await until(is_cached)
    await sql.execute(
        """UPDATE entities SET properties = jsonb_set(properties, '{email,value}', '"new@x"')"""
    )
    assert await answer() == ("old@x", "hit", 0), "stale, since nobody told the cache"

    recording = Recording(stores.invalidations)
    healing = repeater(settings, stores, recording)
    running = asyncio.create_task(healing.run())

    async def is_healed() -> bool:
        value, _, count = await answer()
        return (value, count) == ("new@x", 1)

    await until(is_healed)
    await healing.stop()
    await running
    lookups = {lookup for changes in recording.asked for lookup in changes.lookups}
    assert lookups == {Lookup("email", "old@x"), Lookup("email", "new@x")}


async def test_what_the_cache_did_not_take_comes_again_after_a_restart(
    settings: Settings, stores: Stores, connector: str, sql: Connection
) -> None:
    await sql.execute(
        "INSERT INTO entities (type, reference) SELECT 'user', n::text FROM generate_series(1, 50) n"
    )
    position = await sql.fetchval("SELECT (pg_current_wal_flush_lsn() - '0/0')::bigint")

    refusing = Recording(None)
    first = repeater(settings, stores, refusing)
    running = asyncio.create_task(first.run())

    async def was_refused() -> bool:
        return sum(len(changes.entities) for changes in refusing.asked) >= 50

    await until(was_refused)
    await first.stop()
    await running
    assert await committed(settings) == 0

    taking = Recording(stores.invalidations)
    second = repeater(settings, stores, taking)
    running = asyncio.create_task(second.run())

    async def is_committed() -> bool:
        return await committed(settings) == 50

    await until(is_committed)
    await second.stop()
    await running
    assert len({number for changes in taking.asked for number in changes.entities}) == 50
    assert min(changes.position for changes in taking.asked) >= position
