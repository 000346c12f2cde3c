"""Redis is away for a minute, a writing worker dies in it before it told the caches, and the cdc worker too.

Once all are back and the lag is gone, nothing is stale.
"""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer

from app.config.settings import Role, Settings
from app.core.models import Batch
from storage.stores import Stores
from tests.e2e.cdc_pipeline import until
from tests.e2e.own_stack import OwnStack
from tests.e2e.workers import Worker, committed
from tests.rows import at, prop
from tests.stack import application_settings, own_connector, own_database, own_topics

pytestmark = [pytest.mark.e2e, pytest.mark.chaos, pytest.mark.timeout(480)]

AWAY_S: Final = 60.0
COUNT: Final = 90
KILLED, HUNG = 0, (1, 2)  # of the three nodes


@pytest.fixture
async def settings(own_stack: OwnStack, run_id: str) -> AsyncIterator[Settings]:
    """On servers that may be killed, Redis among them."""
    await asyncio.to_thread(own_stack.start, "postgres", "redis", "kafka", "connect")
    async with own_database(own_stack.settings, f"test_{run_id}") as database:
        made = application_settings(
            own_stack.settings, database=database, topic_prefix=f"t-{run_id}.", cache_prefix=f"t-{run_id}"
        )
        async with own_topics(made), own_connector(own_stack.settings, made, f"cdc_{run_id}"):
            yield made
    await asyncio.to_thread(own_stack.reset, "connect", "redis")


class Readers:
    """What processes that answer reads say of each user."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings.model_copy(update={"roles": [Role.WEB]})
        self.stores: list[Stores] = []

    async def open(self) -> Stores:
        """One more, which has nothing in its memory."""
        self.stores.append(await Stores.open(self._settings))
        return self.stores[-1]

    async def close(self) -> None:
        for stores in self.stores:
            await stores.close()


async def told(stores: Stores, ids: dict[str, int]) -> dict[str, tuple[str, str]]:
    """The value of each user, and where it was read."""
    found = {}
    for name, number in ids.items():
        answer = await stores.reader.graph(number, depth=1, since=None)
        assert answer is not None
        found[name] = json.loads(answer.body or b"")["properties"]["n"]["value"], answer.cache
    return found


async def send(settings: Settings, names: list[str]) -> None:
    """Tell the new value of each."""
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka_brokers)
    await producer.start()
    for name in names:
        record = {
            "entity_reference": name,
            "entity_type": "user",
            "field_name": "n",
            "field_value": "new",
            "reference_date": at(60).isoformat(),
        }
        await producer.send_and_wait(
            settings.topics.entity_properties, json.dumps(record).encode(), key=name.encode()
        )
    await producer.stop()


async def test_nothing_is_stale_after_a_minute_without_redis(
    own_stack: OwnStack, settings: Settings, tmp_path: Path
) -> None:
    loop = asyncio.get_running_loop()
    sql = await asyncpg.connect(settings.postgres_dsn.get_secret_value())
    readers = Readers(settings)
    stores = await readers.open()
    cdc = settings.model_copy(update={"roles": [Role.CDC]})
    repeating = settings.model_copy(update={"app_id": f"{settings.app_id}-cache-repeater"})
    writing = settings.model_copy(update={"roles": [Role.ENTITY_PROPERTIES]})
    names = [f"u-{number}" for number in range(COUNT)]

    async def repeated() -> int:
        return await committed(repeating, [settings.topics.cdc])

    try:
        await stores.writer.write(Batch(properties=[prop(name, "n", '"old"') for name in names]))
        ids = {row["reference"]: row["id"] for row in await sql.fetch("SELECT id, reference FROM entities")}

        async def is_cached() -> bool:
            return set((await told(stores, ids)).values()) == {("old", "hit")}

        with Worker(cdc, tmp_path / "cdc-killed.log") as worker:

            async def is_repeated() -> bool:
                return await repeated() == COUNT

            await until(is_repeated, within_s=90)
            await until(is_cached, within_s=30)
            for index in HUNG:
                own_stack.signal_all_of("redis", signal.SIGSTOP, index=index)
            await asyncio.to_thread(own_stack.stop, "redis", signal.SIGKILL, index=KILLED)
            away_since = loop.time()

            await send(settings, names[: COUNT // 2])
            with Worker(writing, tmp_path / "writer-killed.log", PROFILE_HOOKS="after-commit:kill") as writer:
                assert await writer.exit_code(within_s=60) == -signal.SIGKILL
            new = "SELECT reference FROM entities WHERE properties -> 'n' ->> 'value' = 'new'"
            untold = {row["reference"]: ids[row["reference"]] for row in await sql.fetch(new)}
            assert untold, "it died before it had committed anything"
            assert worker.process.poll() is None, "Redis is no reason to end"
            worker.kill()

        with Worker(writing, tmp_path / "writer.log") as writer:
            await send(settings, names[COUNT // 2 :])
            await writer.has_committed([settings.topics.entity_properties], COUNT, within_s=90)
            await asyncio.sleep(max(0.0, away_since + AWAY_S - loop.time()))
            assert await repeated() == COUNT, "an offset was committed that no cache took"
            for index in HUNG:
                own_stack.signal_all_of("redis", signal.SIGCONT, index=index)
            await asyncio.to_thread(own_stack.start, "redis")

            fresh = await readers.open()

            async def is_stale() -> bool:
                return ("old", "hit") in (await told(fresh, untold)).values()

            await until(is_stale, within_s=60)  # else there is nothing to heal
            with Worker(cdc, tmp_path / "cdc.log") as worker:

                async def is_done() -> bool:
                    return await repeated() == 2 * COUNT

                await until(is_done, within_s=90)
                for each in [*readers.stores, await readers.open()]:
                    assert {value for value, _ in (await told(each, ids)).values()} == {"new"}
                report = await stores.auditor.audit(sample=1000, grace_s=1)
                assert report.mismatches == []
    finally:
        for index in HUNG:
            own_stack.signal_all_of("redis", signal.SIGCONT, index=index)
        await readers.close()
        await sql.close()
