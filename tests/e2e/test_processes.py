"""One command with several processes: they are one worker to whoever reads, scrapes or stops it, or replaces it."""

import asyncio
import json
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.config.settings import Settings
from app.config.topics import TopicNames
from load.generate.sending import send
from tests.e2e.ingestion import SMALL_WINDOWS, fill, has_written, ingesting, records, require_written, trickle
from tests.e2e.workers import Worker, committed, until_logged

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

PER_TOPIC = 600
MORE = 5


def pids(worker: Worker, name: str) -> list[int]:
    """Of the process of that name, from the first on."""
    return [int(pid) for pid in re.findall(rf"The process {name} is started \(pid (\d+)\)", worker.log)]


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


class Pages:
    """/readyz and /metrics, each time over a connection of its own, so that any of the web processes answers."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    async def _get(self, path: str) -> tuple[int, str]:
        async with aiohttp.ClientSession(self._url) as http, http.get(path) as response:
            return response.status, await response.text()

    async def states(self) -> dict[tuple[str | None, str], bool]:
        """By process and name; none while nobody listens."""
        try:
            _, text = await self._get("/readyz")
        except aiohttp.ClientError:
            return {}
        body: dict[str, Any] = json.loads(text)
        return {(each.get("process"), each["name"]): each["ready"] for each in body["dependencies"]}

    async def until_ready(self) -> dict[tuple[str | None, str], bool]:
        """There is no connector, which is not required."""
        async with asyncio.timeout(60):
            while True:
                states = await self.states()
                missing = {name for (_, name), ready in states.items() if not ready}
                if states and missing <= {"connector", "replication-slot"}:
                    return states
                await asyncio.sleep(0.1)

    async def read(self) -> int:
        return (await self._get("/v1/graph/by-reference/user/nobody"))[0]

    async def until_assigned(self, partitions: int) -> None:
        """Until the worker has so many partitions."""
        async with asyncio.timeout(60):
            while True:
                _, page = await self._get("/metrics")
                if page.count("\nprofile_consumer_lag_records{") == partitions:
                    return
                await asyncio.sleep(0.1)

    async def samples(self, name: str) -> dict[str | None, float]:
        """Sums by process."""
        _, page = await self._get("/metrics")
        found: dict[str | None, float] = {}
        for family in text_string_to_metric_families(page):
            for sample in family.samples:
                if sample.name == name:
                    process = sample.labels.get("process")
                    found[process] = found.get(process, 0) + sample.value
        return found


async def test_several_processes_are_one_worker(
    settings: Settings, topics: TopicNames, tmp_path: Path, unused_tcp_port: int
) -> None:
    told = settings.model_copy(update={"web_port": unused_tcp_port})
    pages, log = Pages(unused_tcp_port), tmp_path / "several.log"
    with Worker(told, log, **SMALL_WINDOWS, PROFILE_PROCESSES="web=2") as worker:
        states = await pages.until_ready()
        assert {name for process, name in states if process is None} >= {"process ingest", "process cdc"}
        assert {("ingest", "partitions"), ("cdc", "agent cdc")} <= states.keys()

        sending = asyncio.create_task(trickle(told, PER_TOPIC, within_s=6))
        await has_written(told, 1, within_s=30)
        os.kill(pids(worker, "ingest")[0], signal.SIGKILL)
        statuses = []
        while not sending.done():
            statuses.append(await pages.read())
        assert set(statuses) == {404}, "reads went on"
        await worker.has_committed(topics.normalised, total := await sending, within_s=60)
        await require_written(told)

        everybody = {"web-1", "web-2", "ingest", "cdc", "supervisor"}
        for _ in range(6):
            assert (await pages.samples("process_resident_memory_bytes")).keys() == everybody
        assert await pages.samples("profile_process_restarts_total") == {
            "web-1": 0,
            "web-2": 0,
            "ingest": 1,
            "cdc": 0,
        }
        started = [pid for name in ("web-1", "web-2", "ingest", "cdc") for pid in pids(worker, name)]
        # A worker with one process takes over, in the same group: nothing is read again.
        alone = {"PROFILE_WEB_PORT": "0"}
        with Worker(told, tmp_path / "alone.log", **alone) as other:
            await until_logged(other, "Worker ready")
            assert await worker.terminate(within_s=30) == 0
            assert not any(map(runs, started))
            pages = Pages(int(other.log.partition("listening on ")[2].split()[0].rpartition(":")[2]))
            # What is read before the last rebalance and committed after it counts twice.
            await pages.until_assigned(told.topic_partitions * (len(topics.normalised) + 1))
            for topic, messages in records(told, MORE).items():
                total += await send(told.kafka_brokers, topic, messages, total=MORE)
            await other.has_committed(topics.normalised, total, within_s=60)
            read = await pages.samples("profile_records_total")
            assert read == {None: MORE * len(topics.normalised)}


async def test_they_end_with_the_command_and_lose_nothing(
    settings: Settings, topics: TopicNames, tmp_path: Path, unused_tcp_port: int
) -> None:
    told = settings.model_copy(update={"web_port": unused_tcp_port})
    total = await fill(told, 5 * PER_TOPIC)
    with Worker(told, tmp_path / "killed.log", **SMALL_WINDOWS, PROFILE_PROCESSES="auto") as worker:
        await has_written(told, 1, within_s=60)
        started = [pid for name in ("web", "ingest", "cdc") for pid in pids(worker, name)]
        worker.kill()
        await until(lambda: not any(map(runs, started)))
        seen = await require_written(told)
        assert seen == await committed(told, topics.normalised) < total
    # Workers by role go on in the group of the command, where they are told so.
    by_role = ingesting(told, consumer_group=told.group_id)
    group = {"PROFILE_CONSUMER_GROUP": told.group_id}
    with Worker(by_role, tmp_path / "again.log", **group) as worker:
        await worker.has_committed(topics.normalised, total, within_s=60)
        assert await worker.terminate(within_s=30) == 0
