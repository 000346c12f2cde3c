"""What a real worker says of its partitions: /readyz and /metrics while a flush stands still, and afterwards."""

import asyncio
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
from aiokafka import AIOKafkaProducer
from prometheus_client.parser import text_string_to_metric_families

from app.config.settings import Role, Settings
from app.config.topics import TopicNames
from load.generate.sending import Message, send
from tests.e2e.workers import Worker

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

WITHIN_S: Final = 90.0
LIMIT_S: Final = 2
LAG: Final = "profile_consumer_lag_records"


@pytest.fixture
def properties(settings: Settings) -> Settings:
    return settings.model_copy(update={"roles": [Role.ENTITY_PROPERTIES, Role.WEB]})


def scores(users: Iterable[int]) -> list[Message]:
    """A record for each user, all of one key and so of one partition."""
    return [
        Message(
            b"user",
            json.dumps(
                {
                    "entity_reference": f"r{user}",
                    "entity_type": "user",
                    "field_name": "score",
                    "field_value": user,
                    "reference_date": "2025-01-15T10:30:00Z",
                }
            ).encode(),
            1_736_937_000_000,
        )
        for user in users
    ]


class Pages:
    """/readyz and /metrics of one worker."""

    def __init__(self, http: aiohttp.ClientSession, worker: Worker) -> None:
        self._http = http
        self._worker = worker

    async def ready(self) -> tuple[int, str]:
        """The status, and what is said of the partitions."""
        async with self._http.get("/readyz") as response:
            body: dict[str, Any] = await response.json()
        (detail,) = [found["detail"] for found in body["dependencies"] if found["name"] == "partitions"]
        return response.status, detail

    async def samples(self, name: str, label: str) -> dict[str, float]:
        """The samples of one metric by the value of a label."""
        async with self._http.get("/metrics") as response:
            families = text_string_to_metric_families(await response.text())
        return {
            sample.labels[label]: sample.value
            for family in families
            for sample in family.samples
            if sample.name == name
        }

    async def lag(self) -> dict[int, int]:
        """Lag by the number of the partition."""
        return {int(number): int(lag) for number, lag in (await self.samples(LAG, "partition")).items()}

    async def until_ready(self) -> None:
        """Wait until the worker is."""
        await self._until("ready", lambda found: found[0] == 200)

    async def until_it_stands(self) -> str:
        """Wait until a partition makes the worker unready, as a slow probe may too; returns what is said of it."""
        return await self._until(
            "ready", lambda found: found[0] == 503 and "no progress" in found[1] and found[1]
        )

    async def until_lag(self, *values: int) -> dict[int, int]:
        """Wait until the lags are these, in whatever order of partitions."""
        return await self._until("lag", lambda found: sorted(found.values()) == sorted(values) and found)

    async def until_samples(self, name: str, label: str, expected: dict[str, float]) -> None:
        """Wait until the samples are these."""
        await self._until("samples", lambda found: found == expected, name, label)

    async def _until(self, page: str, holds: Any, *arguments: str) -> Any:
        found: Any = None
        try:
            async with asyncio.timeout(WITHIN_S):
                while True:
                    try:
                        found = await getattr(self, page)(*arguments)
                        if answer := holds(found):
                            return answer
                    except aiohttp.ClientConnectionError:
                        assert self._worker.process.poll() is None, f"It ended:\n{self._worker.log[-3000:]}"
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise AssertionError(f"{found} after {WITHIN_S} s:\n{self._worker.log[-3000:]}") from None


async def test_a_held_flush_is_told_by_partition_until_it_moves(
    properties: Settings, topics: TopicNames, tmp_path: Path, unused_tcp_port: int
) -> None:
    topic = topics.entity_properties
    hold = tmp_path / "hold"
    hold.touch()
    overrides = {
        "PROFILE_HOOKS": "before-copy:hold",
        "PROFILE_HOOKS_HOLD": str(hold),
        "PROFILE_PROGRESS_TIMEOUT_S": str(LIMIT_S),
    }
    async with aiohttp.ClientSession(f"http://127.0.0.1:{unused_tcp_port}") as http:
        with Worker(properties, tmp_path / "w.log", "-p", str(unused_tcp_port), **overrides) as worker:
            pages = Pages(http, worker)
            await pages.until_lag(0, 0)
            await asyncio.sleep(LIMIT_S + 1)
            assert (await pages.ready())[0] == 200, "idle partitions are ready"

            await send(properties.kafka_brokers, topic, scores(range(40)), total=40)
            detail = await pages.until_it_stands()
            held = max(lag := await pages.lag(), key=lag.__getitem__)
            assert lag == {held: 40, 1 - held: 0}
            assert detail.startswith(f"{topic} partition {held} makes no progress for {LIMIT_S} s")
            # The next window is written and acknowledged; it does not overtake the one that is held.
            await send(properties.kafka_brokers, topic, scores(range(40, 50)), total=10)
            assert await pages.until_lag(0, 50) == {held: 50, 1 - held: 0}
            assert (await pages.ready())[0] == 503

            hold.unlink()
            await pages.until_ready()
            await pages.until_lag(0, 0)
            assert await pages.samples("profile_rows_changed_total", "kind") == {
                "entity_created": 50,
                "property": 50,
            }
            assert await pages.samples("profile_records_total", "topic") == {topic: 50}

            # Told again it changes nothing; the marker of a transaction is no record and leaves no lag.
            await _send_in_transaction(properties, topic, scores(range(50)))
            await pages.until_samples("profile_rows_unchanged_total", "kind", {"property": 50})
            await pages.until_lag(0, 0)
            await asyncio.sleep(LIMIT_S + 1)
            assert (await pages.ready())[0] == 200
            assert await worker.terminate(within_s=60) == 0


async def _send_in_transaction(settings: Settings, topic: str, messages: list[Message]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka_brokers, transactional_id=settings.app_id)
    await producer.start()
    try:
        async with producer.transaction():
            for message in messages:
                await producer.send_and_wait(topic, message.value, key=message.key)
    finally:
        await producer.stop()


@pytest.mark.usefixtures("topics")
async def test_lag_is_told_by_the_worker_that_has_the_partition(
    properties: Settings, tmp_path: Path, unused_tcp_port_factory: Any
) -> None:
    ports = [unused_tcp_port_factory() for _ in range(2)]
    async with (
        aiohttp.ClientSession(f"http://127.0.0.1:{ports[0]}") as http,
        aiohttp.ClientSession(f"http://127.0.0.1:{ports[1]}") as other_http,
    ):
        with Worker(properties, tmp_path / "a.log", "-p", str(ports[0])) as worker:
            pages = Pages(http, worker)
            await pages.until_lag(0, 0)
            with Worker(properties, tmp_path / "b.log", "-p", str(ports[1])) as other:
                others = await Pages(other_http, other).until_lag(0)
                ours = await pages.until_lag(0)
                assert sorted([*ours, *others]) == [0, 1]
