"""The benchmark of an import, as small as it can be: everything is taken in and published, and nothing is left."""

import asyncpg
import pytest

from app.config.settings import Settings
from cdc.connector.client import ConnectClient
from infra.settings import InfraSettings
from load.bench import imports
from load.bench.beside_ingestion import INGESTING
from tests.e2e.workers import environment

pytestmark = pytest.mark.integration

RECORDS = 1_500
WARM = 50 + 3 * 50 + 12 * 50  # entities, relationships and points that are read; targets are counted below
OTHERS = 3 * 7


@pytest.mark.timeout(300)
async def test_an_import_is_counted_to_its_last_event(
    settings: Settings, connect_stack: InfraSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PROFILE_CONNECT_URL", connect_stack.connect_url)
    found = await imports.measure(RECORDS, rate=20, timeout_s=200, processes="1")
    share = RECORDS // len(INGESTING)
    last = found.moments[-1]
    assert found.records == share * len(INGESTING) <= last.taken_in
    # Each row began with an event; later changes of it are others.
    assert found.rows >= WARM + OTHERS + share
    assert found.events >= found.rows
    assert last.published >= found.rows
    assert 0 < found.took_s <= found.complete_s + imports.LOOKED_AT_S
    assert found.restarts == 0
    assert sum(moment.failed for moment in found.moments) == 0
    assert sum(len(moment.reads) for moment in found.moments) > 0
    assert all(moment.memory_mb > 0 for moment in found.moments)
    assert "domain events, complete after" in imports.table(found)

    names = await ConnectClient(connect_stack.connect_url).names()
    assert not [name for name in names if name.startswith("import-")]
    connection = await asyncpg.connect(settings.postgres_dsn.get_secret_value())
    try:
        left = "SELECT count(*) FROM pg_database WHERE datname LIKE 'import\\_%'"
        assert await connection.fetchval(left) == 0
        slots = "SELECT count(*) FROM pg_replication_slots WHERE slot_name LIKE 'import\\_%'"
        assert await connection.fetchval(slots) == 0
    finally:
        await connection.close()
