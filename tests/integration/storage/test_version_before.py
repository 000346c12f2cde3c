"""A rolling upgrade: the code of the version before goes on while this version migrates, and beside its workers."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest

from app.config.settings import Role, Settings
from app.config.topics import TopicNames
from load.generate.sending import Message, send
from storage.postgres.migrator import DIRECTORY, migrate
from tests.e2e.workers import Worker, environment, until_logged
from tests.integration.web.serving import Client, serving
from tests.stack import TestStack, application_settings, drop_database

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

# What a later version may do to tables that this code and the one before use.
ADDITIVE = """
ALTER TABLE entities ADD COLUMN added_to_entities text DEFAULT 'x', ADD COLUMN added_too jsonb;
ALTER TABLE edges ADD COLUMN added_to_edges bigint NOT NULL DEFAULT 0;
ALTER TABLE temporal_properties ADD COLUMN added_to_points boolean;
ALTER TABLE erasures ADD COLUMN added_to_erasures text;
CREATE TABLE added (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY);
"""
BREAKING = "ALTER TABLE entities RENAME COLUMN properties TO attributes;"

ALL = [Role.WEB, Role.ENTITIES_EDGES, Role.ENTITY_PROPERTIES, Role.TEMPORAL_DATA]
ANA = "/v1/graph/by-reference/user/ana?depth=3"
ACME = "/v1/graph/by-reference/company/acme"
# What is read, and what its answer holds when Ana lives in Recife.
READS = {
    ANA: "Recife",
    ACME: "Acme",
    "/v1/graph/by-reference/user/ana/provenance": '"kind":"record"',
    "/v1/graph/by-property/city/value/Recife": '"reference":"ana"',
    "/v1/entities?type=user": "Recife",
}


@pytest.fixture
async def settings(
    test_stack: TestStack, run_id: str, topic_prefix: str, cache_prefix: str, unused_tcp_port: int
) -> AsyncIterator[Settings]:
    """Settings on a database without a schema."""
    servers = test_stack.need("postgres", "redis", "kafka")
    name = f"test_{run_id}"
    connection = await asyncpg.connect(servers.postgres_dsn(database="postgres"))
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    found = application_settings(servers, database=name, topic_prefix=topic_prefix, cache_prefix=cache_prefix)
    yield found.model_copy(update={"roles": ALL, "web_port": unused_tcp_port})
    await drop_database(servers, name)


class Beside:
    """A worker of the version before, and this version on the same database, caches and topics."""

    def __init__(self, before: aiohttp.ClientSession, now: Client) -> None:
        self.before = before
        self.now = now

    async def see_the_same(self, path: str, *, status: int = 200, holding: str = "") -> None:
        """Return when both answer the same, and it holds this text."""
        answers: list[tuple[int, str]] = []
        try:
            async with asyncio.timeout(20):
                while not self._are_as_expected(answers, status, holding):
                    answers = [await self._read(client, path) for client in (self.before, self.now)]
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"{path}, {status} with {holding!r} expected: {answers}") from None

    @staticmethod
    def _are_as_expected(answers: list[tuple[int, str]], status: int, holding: str) -> bool:
        if len({*answers}) != 1:
            # Of an error the request's id differs.
            return len(answers) == 2 and {found for found, _ in answers} == {status} != {200}
        return answers[0][0] == status and holding in answers[0][1]

    @staticmethod
    async def _read(client: Any, path: str) -> tuple[int, str]:
        async with client.get(path) as response:
            text = await response.text()
            assert response.status < 500, text
            return response.status, text


def graph(city: str, day: int) -> dict[str, Any]:
    """Ana, her company and a relationship, as of a day."""
    ana = {"reference": "ana", "type": "user", "reference_date": f"2026-01-{day:02}"}
    return {
        "entities": [
            ana | {"properties": {"city": city, f"from-day-{day}": 12345678901234567890123}},
            {"reference": "acme", "type": "company", "properties": {"name": "Acme"}},
        ],
        "relationships": [
            {"source_reference": "ana", "target_reference": "acme", "relationship_type": "works_at"},
            {"source_reference": "ana", "target_reference": f"day-{day}", "relationship_type": "was_here"},
        ],
    }


async def written(client: Any, city: str, day: int) -> None:
    """The graph and a point of that day."""
    point = {"entity_reference": "ana", "entity_type": "user", "key": "visits", "granularity": "day"}
    point |= {"reference_date": f"2026-01-{day:02}T23:59:59Z", "value": {"n": day}}
    for path, body in (
        ("/v1/graph/sync", graph(city, day)),
        ("/v1/temporal/ingest", {"data_points": [point]}),
    ):
        async with client.post(path, json=body) as response:
            assert response.status == 202, await response.text()


async def erased(client: Any, reference: str) -> None:
    async with client.delete(f"/v1/graph/by-reference/user/{reference}") as response:
        assert response.status == 200, await response.text()


async def sent(settings: Settings, city: str) -> None:
    """A record that the ingesting agent of the version before reads."""
    value = {"entity_reference": "ana", "entity_type": "user", "reference_date": "2026-02-01T00:00:00Z"}
    value |= {"field_name": "city", "field_value": city}
    message = Message(key=b"ana", value=json.dumps(value).encode(), timestamp_ms=1_770_000_000_000)
    await send(settings.kafka_brokers, settings.topics.entity_properties, [message], total=1)


async def command(settings: Settings, root: Path, *arguments: str) -> str:
    """`python -m app …` of that tree; returns what it prints."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app", *arguments),
        cwd=root,
        env=os.environ | environment(settings, PYTHONPATH=str(root)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


def later_schema(into: Path, *added: str) -> Path:
    """The migrations of this version, and more."""
    into.mkdir(exist_ok=True)
    for path in DIRECTORY.glob("*.sql"):
        (into / path.name).write_text(path.read_text())
    for number, sql in enumerate(added):
        (into / f"9{number:03}_later.sql").write_text(sql)
    return into


async def test_the_version_before_runs_on_this_schema_beside_this_version(
    settings: Settings, topics: TopicNames, version_before: Path, tmp_path: Path
) -> None:
    dsn = settings.postgres_dsn.get_secret_value()
    url = f"http://127.0.0.1:{settings.web_port}"
    assert "applied 0001_schema" in await command(settings, version_before, "migrate")
    with Worker(settings, tmp_path / "before.log", root=version_before) as worker:
        await until_logged(worker, "listening on", within_s=90)
        async with aiohttp.ClientSession(url) as before:
            await written(before, "Olinda", 1)
            # Its connections and prepared statements are of the schema of before.
            await migrate(dsn, later_schema(tmp_path / "later", ADDITIVE))
            async with serving(settings) as served:
                beside = Beside(before, served.client)
                await beside.see_the_same(ANA, holding="Olinda")
                await written(before, "Natal", 2)
                await beside.see_the_same(ANA, holding="Natal")
                await written(served.client, "Caruaru", 3)
                await beside.see_the_same(ANA, holding="Caruaru")
                await sent(settings, "Recife")
                for path, holding in READS.items():
                    await beside.see_the_same(path, holding=holding)
                await erased(before, "ana")
                await beside.see_the_same(ANA, status=404)
                await written(served.client, "Recife", 4)
                await beside.see_the_same(ACME, holding="Acme")
        assert await worker.terminate(within_s=45) == 0
    # The way back: the version before starts on this schema.
    web = settings.model_copy(update={"roles": [Role.WEB]})
    with Worker(web, tmp_path / "again.log", root=version_before) as worker:
        assert "up to date" in await command(settings, version_before, "migrate")
        await until_logged(worker, "listening on", within_s=90)
        async with aiohttp.ClientSession(url) as before:
            await written(before, "Recife", 5)
            # What this test is about: that a migration which is not additive is seen.
            await migrate(dsn, later_schema(tmp_path / "later", ADDITIVE, BREAKING))
            with pytest.raises(AssertionError, match="/problems/"):
                await written(before, "Recife", 6)
