"""Kills and stops of a real worker lose nothing and apply nothing twice."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.config.settings import Settings
from app.config.topics import TopicNames
from load.generate.sending import Message, send
from tests.e2e.ingestion import fill, has_written, ingesting
from tests.e2e.workers import Worker, committed, fingerprint, read_all
from tests.stack import TestStack, create_database, drop_database, to_database, with_primary

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

PER_TOPIC = 33_334


@pytest.fixture
def ingestion(settings: Settings) -> Settings:
    return ingesting(settings)


@pytest.fixture
async def elsewhere(ingestion: Settings, test_stack: TestStack, run_id: str) -> AsyncIterator[Settings]:
    """The same topics into another database, by another group."""
    servers = test_stack.settings
    name = f"test_{run_id}_calm"
    await create_database(servers, name)
    change = to_database(name)
    replicas = [change(dsn.get_secret_value()) for dsn in ingestion.postgres_replica_dsns]
    yield with_primary(ingestion, change).model_copy(
        update={
            "app_id": f"{ingestion.app_id}-calm",
            "postgres_replica_dsns": [SecretStr(dsn) for dsn in replicas],
            "cache_prefix": f"{ingestion.cache_prefix}-calm",
        }
    )
    await drop_database(servers, name)


@pytest.mark.chaos
@pytest.mark.ci
async def test_killed_worker_gives_the_same_database(
    ingestion: Settings, elsewhere: Settings, topics: TopicNames, tmp_path: Path
) -> None:
    total = await fill(ingestion, PER_TOPIC)
    names = topics.normalised
    log = tmp_path / "killed.log"
    # Small windows make it slow enough to be met in the middle; rows tell its progress sooner than offsets.
    small = {"PROFILE_WINDOW_MAX_RECORDS": "500", "PROFILE_FETCH_MAX_RECORDS": "500"}
    for points in (PER_TOPIC // 10, PER_TOPIC // 3):
        with Worker(ingestion, log, **small) as worker:
            await has_written(ingestion, points, within_s=60)
            worker.kill()
    assert await committed(ingestion, names) < total, "it was done before it could be killed"
    with Worker(ingestion, log) as worker:
        await worker.has_committed(names, total, within_s=60)
        assert await worker.terminate(within_s=60) == 0
    with Worker(elsewhere, tmp_path / "calm.log") as worker:
        await worker.has_committed(names, total, within_s=60)

    killed = await fingerprint(ingestion.postgres_dsn.get_secret_value())

    assert all(rows > 1_000 for rows, _ in killed.values())
    assert killed == await fingerprint(elsewhere.postgres_dsn.get_secret_value())


async def test_stop_with_open_windows_and_records_under_way(
    ingestion: Settings, topics: TopicNames, tmp_path: Path
) -> None:
    names = topics.normalised
    before = await fill(ingestion, 2_000)
    # Windows that only a stop closes.
    slow = {"PROFILE_WINDOW_LINGER_S": "3", "PROFILE_WINDOW_MAX_RECORDS": "1000000"}
    with Worker(ingestion, tmp_path / "worker.log", **slow) as worker:
        await worker.has_committed(names, 1, within_s=60)
        sending = asyncio.create_task(fill(ingestion, 3_000))
        await asyncio.sleep(1)
        started = time.monotonic()
        assert await worker.terminate(within_s=60) == 0
        assert time.monotonic() - started < 15
        total = before + await sending
    with Worker(ingestion, tmp_path / "again.log") as worker:
        await worker.has_committed(names, total, within_s=60)


async def test_poison_is_dead_lettered_beside_its_neighbours(
    ingestion: Settings, topics: TopicNames, tmp_path: Path
) -> None:
    good = [
        {
            "entity_reference": f"r{number}",
            "entity_type": "user",
            "field_name": "score",
            "field_value": number,
            "reference_date": "2025-01-15T10:30:00Z",
        }
        for number in range(200)
    ]
    records = [Message(b"user", json.dumps(body).encode(), 1_736_937_000_000) for body in good]
    huge = json.dumps(good[0] | {"field_value": "HUGE"}).encode().replace(b'"HUGE"', b"9" * 140_000)
    poison = [
        b"{",
        b'{"entity_type":"user"}',
        b"\xff",
        json.dumps(good[0] | {"field_name": ""}).encode(),
        huge,
    ]
    for number, value in enumerate(poison):
        records.insert(number * 30 + 5, Message(b"user", value, 1_736_937_000_000))
    topic = topics.entity_properties
    await send(ingestion.kafka_brokers, topic, records, total=len(records))

    with Worker(ingestion, tmp_path / "worker.log") as worker:
        await worker.has_committed([topic], len(records), within_s=60)
        assert await worker.terminate(within_s=60) == 0

    dead = await read_all(ingestion, topics.dead_letters(topic), len(poison))
    assert sorted(letter.value for letter in dead) == sorted(poison)
    # The letter's own stamp is the broker's.
    assert {dict(letter.headers)["dlq.timestamp"] for letter in dead} == {b"1736937000000"}
    assert min(letter.timestamp for letter in dead) > 1_736_937_000_000
    found = await fingerprint(ingestion.postgres_dsn.get_secret_value())
    assert found["entities"][0] == len(good)


async def test_old_schema_ends_with_one_line(settings: Settings, tmp_path: Path) -> None:
    with Worker(with_primary(settings, to_database("postgres")), tmp_path / "worker.log") as worker:
        assert await worker.exit_code(within_s=30) != 0
    assert "python -m app migrate" in worker.log
    assert "Traceback" not in worker.log
