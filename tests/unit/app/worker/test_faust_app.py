"""A stop, and a rebalance that begins meanwhile."""

import asyncio
from typing import Any

import pytest

from app.config.settings import Role, Settings
from app.worker.faust_app import ProfileApp, build


class Consumer:
    """Commits once it is let; a closed one never does."""

    def __init__(self) -> None:
        self.may_commit = asyncio.Event()
        self.committed = self.closed = False

    def assignment(self) -> set[object]:
        return {object()}

    async def wait_empty(self) -> None:
        await self.may_commit.wait()
        assert not self.closed
        self.committed = True

    def close(self) -> None:
        self.closed = True

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


@pytest.fixture
async def stopping(monkeypatch: pytest.MonkeyPatch) -> tuple[ProfileApp, Consumer]:
    app, consumer = build(Settings(roles=[Role.CDC])), Consumer()

    async def nothing(*_: object) -> None:
        pass

    monkeypatch.setattr(app, "_stop_fetcher", nothing)
    monkeypatch.setattr(app.tables, "stop", nothing)
    app._consumer = consumer
    app._stopped.set()
    return app, consumer


async def test_a_rebalance_waits_for_the_commit_of_an_app_that_stops(
    stopping: tuple[ProfileApp, Consumer],
) -> None:
    app, consumer = stopping
    end = asyncio.create_task(app._stop_consumer())
    revoked = asyncio.create_task(app._on_partitions_revoked(set()))
    await asyncio.sleep(0.01)
    assert not revoked.done()
    consumer.may_commit.set()
    await asyncio.gather(end, revoked)
    assert consumer.committed


async def test_partitions_that_an_app_gets_as_it_stops_do_not_close_its_client(
    stopping: tuple[ProfileApp, Consumer],
) -> None:
    app, consumer = stopping
    await app._on_partitions_assigned({object()})
    assert not consumer.closed
