"""`python -m app connector …` on a real Connect, and what a worker says of the connector meanwhile."""

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import aiohttp
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from app.config.settings import Role, Settings
from app.config.topics import TopicNames
from app.kafka.reading import read_to_end
from infra.settings import InfraSettings
from tests.e2e.workers import ROOT, Worker, environment
from tests.integration.cdc.test_pipeline import Connection, entity

pytestmark = pytest.mark.integration

Captured = Callable[[], Awaitable[list[str]]]
LARGE = json.dumps({"bio": {"value": "".join(chr(0x4E00 + n * 7919 % 20_000) for n in range(3_000))}})
USUAL_BYTES = 16 * 1024 * 1024


class Ended(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str


class Operator:
    """Somebody at a shell, who can also ask the worker."""

    def __init__(self, settings: Settings, overrides: dict[str, str], http: aiohttp.ClientSession) -> None:
        self.settings = settings
        self._environment = environment(settings, **overrides)
        self._http = http

    async def __call__(self, *arguments: str) -> Ended:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "app", "connector", *arguments),
            cwd=ROOT,
            env=self._environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert process.returncode is not None
        return Ended(process.returncode, out.decode(), err.decode())

    async def ready(self) -> dict[str, tuple[bool, str]]:
        """The connector's lines of /readyz."""
        async with self._http.get("/readyz") as response:
            told = (await response.json())["dependencies"]
        return {
            each["name"]: (each["ready"], each["detail"])
            for each in told
            if each["name"] in ("connector", "replication-slot")
        }

    async def parts(self) -> dict[tuple[str, str], float]:
        """profile_cdc_connector_parts by part and state."""
        async with self._http.get("/metrics") as response:
            text = await response.text()
        found = re.findall(
            r'^profile_cdc_connector_parts\{part="(\w+)",state="(\w+)"\} (\S+)$', text, re.MULTILINE
        )
        return {(part, state): float(value) for part, state, value in found}

    async def sample(self, name: str) -> float:
        async with self._http.get("/metrics") as response:
            (value,) = re.findall(rf"^{re.escape(name)} (\S+)$", await response.text(), re.MULTILINE)
        return float(value)

    async def sees(self, part: str, state: str) -> bool:
        return await self.parts() == {
            ("connector", "running" if part == "task" else state): 1.0,
            ("task", state): 1.0,
        }


async def until(reached: Callable[[], Awaitable[bool]], *, within_s: float = 60) -> None:
    async with asyncio.timeout(within_s):
        while not await reached():  # noqa: ASYNC110 - servers tell nobody
            await asyncio.sleep(0.1)


@pytest.fixture
def settings(settings: Settings, run_id: str, connect_stack: InfraSettings, unused_tcp_port: int) -> Settings:
    own = {"connector_name": f"cdc_{run_id}", "cdc_slot": f"cdc_{run_id}", "web_port": unused_tcp_port}
    return settings.model_copy(
        update={**own, "roles": [Role.CDC, Role.WEB], "connect_url": connect_stack.connect_url}
    )


@pytest.fixture
async def operator(
    settings: Settings, topics: TopicNames, db: Connection, tmp_path: Path
) -> AsyncIterator[Operator]:
    overrides = {
        "PROFILE_CONNECTOR_NAME": settings.connector_name,
        "PROFILE_CDC_SLOT": settings.cdc_slot,
        "PROFILE_CDC_HEARTBEAT_MS": "500",
        "PROFILE_CDC_WATCH_INTERVAL_S": "0.3",
        "PROFILE_CDC_RESTART_FAILED": "false",
    }
    port = str(settings.web_port)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
        with Worker(settings, tmp_path / "worker.log", "-p", port, **overrides):
            made = Operator(settings, overrides, http)

            async def answers() -> bool:
                try:
                    return bool(await made.ready())
                except aiohttp.ClientConnectionError:
                    return False

            await until(answers)
            yield made
            await made("delete")


async def limit(settings: Settings, max_bytes: int) -> None:
    """What the broker takes into the topic of changes."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_brokers)
    await admin.start()
    try:
        config = {"max.message.bytes": str(max_bytes)}
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, settings.topics.cdc, config)])
    finally:
        await admin.close()


@pytest.mark.timeout(400)
async def test_its_life_from_the_first_apply_to_the_last_delete(
    operator: Operator, settings: Settings, db: Connection
) -> None:
    name = settings.connector_name

    async def captured() -> list[str]:
        """The references of the entities that changed."""
        return [
            json.loads(record.value or b"")["after"]["reference"]
            async for records in read_to_end(settings.kafka_brokers, settings.topics.cdc)
            for record in records
        ]

    before = await operator("status")
    assert before.code == 1
    assert f"error: There is no connector {name}: `python -m app connector apply` makes it." in before.err
    assert (await operator.ready())["connector"][0] is False

    assert await operator("apply") == (0, f"The connector {name} runs.\n", "")

    async def is_published() -> bool:
        return (await operator("status")).out.count("published ") == 1

    await until(is_published)
    status = await operator("status")
    assert (status.code, status.err) == (0, "")
    for line in (
        rf"connector  {name}  RUNNING",
        r"task 0     RUNNING",
        rf"slot       {name}  reserved, active",
    ):
        assert re.search(f"^{line}$", status.out, re.MULTILINE), status.out
    assert re.search(r"^behind     [\d,]+ bytes of WAL$", status.out, re.MULTILINE)

    async def runs() -> bool:
        return await operator.sees("connector", "running")

    await until(runs)
    told = await operator.ready()
    assert told["connector"][0], told
    assert told["replication-slot"][0], told
    assert await operator.sample("profile_cdc_connector_lag_seconds") < 60
    nothing = await operator("restart")
    assert nothing == (0, f"Nothing of the connector {name} has failed.\n", "")

    await _while_it_is_paused(operator, db, captured)
    await _where_a_task_fails(operator, settings, db, captured)

    gone = await operator("delete", "--drop-slot")
    assert gone == (0, f"The connector {name} is removed.\nThe slot {name} is dropped.\n", "")
    again = await operator("delete", "--drop-slot")
    assert again == (0, f"The connector {name} was not there.\nThe slot {name} was not there.\n", "")
    assert (await operator("status")).code == 1


async def _while_it_is_paused(operator: Operator, db: Connection, captured: Captured) -> None:
    name = operator.settings.connector_name
    assert (await operator("pause")).code == 0

    async def is_paused() -> bool:
        return await operator.sees("connector", "paused")

    await until(is_paused)
    status = await operator("status")
    assert status.code == 1
    assert f"error: The connector {name} is " in status.err
    assert "`python -m app connector resume` goes on" in status.err
    assert (await operator.ready())["connector"][0] is False
    await entity(db, "user", "told-later")
    await asyncio.sleep(1)
    assert await captured() == []
    assert await operator("resume") == (0, f"The connector {name} runs.\n", "")

    async def has_come() -> bool:
        return await captured() == ["told-later"]

    await until(has_come)


async def _where_a_task_fails(
    operator: Operator, settings: Settings, db: Connection, captured: Captured
) -> None:
    """The broker takes no record as large as this one."""
    name = operator.settings.connector_name
    await limit(settings, 2_000)
    await asyncio.sleep(1)  # the broker takes a new limit a moment after it has acknowledged it
    await entity(db, "user", "large", LARGE)

    async def has_failed() -> bool:
        return await operator.sees("task", "failed")

    await until(has_failed, within_s=120)
    status = await operator("status")
    assert status.code == 1
    assert re.search(r"^task 0     FAILED  RecordTooLargeException", status.out, re.MULTILINE), status.out
    assert f"error: The connector {name} failed (RecordTooLargeException" in status.err
    assert "`python -m app connector restart` starts it again" in status.err
    ready, detail = (await operator.ready())["connector"]
    assert not ready
    assert "RecordTooLargeException" in detail
    assert await operator.sample("profile_cdc_connector_restarts_total") == 0

    await limit(settings, USUAL_BYTES)
    await asyncio.sleep(1)
    assert await operator("restart") == (0, f"The connector {name} runs.\n", "")

    async def has_come() -> bool:
        return sorted(await captured()) == ["large", "told-later"]

    await until(has_come)

    async def is_well() -> bool:
        return (await operator("status")).code == 0 and (await operator.ready())["connector"][0]

    await until(is_well)
