"""The benchmark of domain events, as small as it can be: it measures each way, and leaves nothing behind."""

import argparse

import asyncpg
import pytest

from app.config.settings import Settings
from cdc.connector.client import ConnectClient
from infra.settings import InfraSettings
from load.bench import events
from tests.e2e.workers import environment

pytestmark = pytest.mark.integration


@pytest.mark.timeout(500)
async def test_each_way_is_measured_and_the_connector_is_gone_afterwards(
    settings: Settings, connect_stack: InfraSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PROFILE_CONNECT_URL", connect_stack.connect_url)
    parser = argparse.ArgumentParser()
    events.add_arguments(parser)
    options = {"changes": 6_000, "transaction": 50, "rate": 50, "seconds": 2, "rounds": 1}
    args = parser.parse_args([text for name, value in options.items() for text in (f"--{name}", str(value))])
    found = await events.measure(args)
    assert set(found) == {"warm-up", *events.MEASUREMENTS}
    for (measured,) in found.values():
        assert measured.events_per_s > 0
        assert 0 < measured.p50_s <= measured.p99_s
        assert measured.cpu_s["workers"] > 0
        assert measured.cpu_s.keys() >= {"connect", "broker", "commits", "decoding", "replicas"}
    # Bursts, times to the event, and CPU of all; each with its header.
    assert events.table(args, found).count("\n| ") == 3 + 2 * len(found)

    names = await ConnectClient(connect_stack.connect_url).names()
    assert not [name for name in names if name.startswith("bench-")]
    connection = await asyncpg.connect(settings.postgres_dsn.get_secret_value())
    slots = await connection.fetchval(
        "SELECT count(*) FROM pg_replication_slots WHERE database = current_database()"
    )
    await connection.close()
    assert slots == 0
