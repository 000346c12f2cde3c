"""A rolling upgrade, in the caches: workers of the version before and of this one share entries and invalidations.

What one of them commits, the other's memory and the entries of both in Redis must not outlive. So a version that
gives entries another format tells the old one as well, in the release before: CONTRIBUTING.md, *Cache entries*.
"""

import asyncio
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from app.config.settings import Role, Settings
from storage.cache import keyspace
from storage.postgres.migrator import migrate
from tests.e2e.workers import Worker, until_logged
from tests.integration.storage.test_version_before import command
from tests.integration.storage.test_version_before import settings as settings  # noqa: PLC0414 - a fixture
from tests.integration.web.serving import serving

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

WRITERS = 4
ROUNDS = 6
REACHED_S = 10.0  # far above what a notification takes, and far below the lifetime of an entry


class Fleet:
    """Both versions as HTTP clients. Each writer has a person of its own; all of them know one company."""

    def __init__(self, numbers: Sequence["count[int]"], *clients: Any) -> None:
        self.numbers = numbers  # of each writer's next write
        self.clients = clients
        self.reads = 0

    async def write(self, client: Any, writer: int, number: int) -> str:
        """The token of a write of this number, which is in the person, an edge and the company."""
        date = f"2026-01-01T00:{number // 60:02}:{number % 60:02}Z"
        body = {
            "entities": [
                {
                    "reference": f"p{writer}",
                    "type": "user",
                    "reference_date": date,
                    "properties": {"n": number},
                },
                {
                    "reference": "acme",
                    "type": "company",
                    "reference_date": date,
                    "properties": {f"of-{writer}": number},
                },
            ],
            "relationships": [
                {
                    "source_reference": f"p{writer}",
                    "target_reference": "acme",
                    "relationship_type": "works_at",
                    "metadata": {"n": number},
                }
            ],
        }
        async with client.post("/v1/graph/sync", json=body) as response:
            assert response.status == 202, await response.text()
            return str(response.headers["Consistency-Token"])

    async def shown(self, client: Any, writer: int, token: str | None = None) -> set[int]:
        """The numbers of a person's tree: of the person and of the company."""
        headers = {} if token is None else {"Consistency-Token": token}
        path = f"/v1/graph/by-reference/user/p{writer}?depth=2"
        async with client.get(path, headers=headers) as response:
            assert response.status == 200, await response.text()
            tree = await response.json()
        self.reads += 1
        (edge,) = tree["edges"]
        company = edge["entity"]
        return {tree["properties"]["n"]["value"], company["properties"][f"of-{writer}"]["value"]}

    async def reaches(self, client: Any, writer: int, number: int) -> None:
        """Return when a read without a token shows this number everywhere."""
        shown: set[int] = set()
        try:
            async with asyncio.timeout(REACHED_S):
                while shown != {number}:
                    shown = await self.shown(client, writer)
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise AssertionError(f"stale: p{writer} is {shown}, and {number} was written") from None

    async def run(self, rounds: int) -> None:
        """Writers that take turns between the versions, each beside readers of what the others write."""
        for writer, number in enumerate(self.numbers):
            await self.write(self.clients[0], writer, next(number))
        reading = [asyncio.create_task(self._read_on(client)) for client in self.clients]

        async def written(writer: int) -> None:
            for turn in range(rounds):
                number = next(self.numbers[writer])
                token = await self.write(self.clients[(writer + turn) % 2], writer, number)
                for client in self.clients:
                    if turn // 2 % 2:  # a read with a token goes past what is cached, and renews it
                        assert await self.shown(client, writer, token) == {number}
                    await self.reaches(client, writer, number)

        try:
            async with asyncio.TaskGroup() as group:
                for writer in range(WRITERS):
                    group.create_task(written(writer))
        finally:
            for task in reading:
                task.cancel()
            await asyncio.gather(*reading, return_exceptions=True)

    async def _read_on(self, client: Any) -> None:
        for turn in count():
            await self.shown(client, turn % WRITERS)
            await asyncio.sleep(0.002)


async def test_no_stale_answer_of_either_version_and_another_format_would_give_some(
    settings: Settings, version_before: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings.model_copy(update={"roles": [Role.WEB]})
    await command(settings, version_before, "migrate")
    await migrate(settings.postgres_dsn.get_secret_value())
    with Worker(settings, tmp_path / "before.log", root=version_before) as worker:
        await until_logged(worker, "listening on", within_s=120)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{settings.web_port}") as before:
            numbers = [count(1) for _ in range(WRITERS)]
            async with serving(settings) as served:
                both = Fleet(numbers, before, served.client)
                await both.run(ROUNDS)
                assert both.reads > 2 * WRITERS * ROUNDS
            # What this test is about: entries that writers of the version before do not know of.
            monkeypatch.setattr(keyspace, "FORMAT_VERSION", keyspace.FORMAT_VERSION + 1)
            monkeypatch.setattr(f"{__name__}.REACHED_S", 2.0)
            async with serving(settings) as served:
                both = Fleet(numbers, before, served.client)
                with pytest.raises(ExceptionGroup, match="unhandled") as found:
                    await both.run(ROUNDS)
                assert found.group_contains(AssertionError, match="stale")
