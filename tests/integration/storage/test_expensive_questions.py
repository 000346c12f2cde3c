"""A question that takes too long ends on the server, costs its asker alone, and closes nobody out."""

import asyncio

import asyncpg
import pytest

from app.config.settings import Settings
from app.core.errors import TooDearError
from app.core.models import Batch
from storage.postgres import replicas
from storage.postgres.pools import Connection
from storage.postgres.positioned import Reached
from storage.stores import Stores
from tests.rows import prop, user

pytestmark = pytest.mark.integration

_RUNNING = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND state = 'active' AND query LIKE '%pg_sleep%' AND pid <> pg_backend_pid()
"""


async def test_nothing_of_it_runs_on(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.stores.REPLICA_TIMEOUT_S", 0.4)
    monkeypatch.setattr("storage.stores.PRIMARY_TIMEOUT_S", 0.4)
    monkeypatch.setattr(replicas, "REPLICA_TIMEOUT_S", 0.4)
    monkeypatch.setattr(replicas, "PRIMARY_TIMEOUT_S", 0.4)
    stores = await Stores.open(settings)
    source = stores._source
    asked: list[int] = []

    async def slowly(connection: Connection, least: int) -> Reached[None] | None:
        asked.append(connection.get_server_pid())
        await connection.execute("SELECT pg_sleep(60)")
        return None

    try:
        await stores.writer.write(Batch(properties=[prop("a", "f", "1")]))
        for _ in range(2):
            with pytest.raises(TooDearError):
                await source.read(slowly, 0)
        assert len(asked) == 2 * (1 + bool(settings.postgres_replica_dsns))
        dsns = [settings.postgres_dsn, *settings.postgres_replica_dsns]
        for dsn in dsns:
            connection = await asyncpg.connect(dsn.get_secret_value())
            assert await connection.fetchval(_RUNNING) == 0
            await connection.close()
        # Its connections are good for the next one, and nobody else has noticed.
        assert source.primary_answers
        assert all(replica.breaker.closed for replica in source._replicas)
        async with asyncio.timeout(5):
            answer = await stores.reader.by_reference(user("a"), depth=1, since=None)
        assert answer is not None
        assert answer.verified
    finally:
        await stores.close()
