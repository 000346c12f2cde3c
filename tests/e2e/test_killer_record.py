"""A record at which real workers die is set aside, and all others are written."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from app.config.settings import Role, Settings
from app.config.topics import TopicNames
from app.ingest.suspects import CODE, DEATHS, STARTS
from load.generate.sending import Message, send
from tests.e2e.ingestion import ingesting
from tests.e2e.killing import KILLER
from tests.e2e.workers import Worker, committed, fingerprint, read_all

pytestmark = [pytest.mark.e2e, pytest.mark.chaos, pytest.mark.timeout(400)]


def body(reference: str, value: str) -> bytes:
    told = {"entity_reference": reference, "entity_type": "user", "field_name": "name", "field_value": value}
    return json.dumps(told | {"reference_date": "2025-01-15T10:30:00Z"}).encode()


async def test_it_is_set_aside_and_the_others_are_written(
    settings: Settings, topics: TopicNames, db: Any, tmp_path: Path
) -> None:
    mine = ingesting(settings, roles=[Role.ENTITY_PROPERTIES])
    topic = topics.entity_properties
    values = [body(f"r{number}", "well") for number in range(200)]
    values.insert(77, body("killer", KILLER.decode()))
    await send(
        mine.kafka_brokers,
        topic,
        [Message(b"user", value, 1_736_937_000_000) for value in values],
        total=len(values),
    )

    deaths = 0
    while True:
        with Worker(mine, tmp_path / f"{deaths}.log", app="tests.e2e.killing") as worker:
            while (seen := await committed(mine, [topic])) < len(values):
                if worker.process.poll() is not None:
                    break
                await asyncio.sleep(0.2)
            if worker.process.poll() is None:
                assert seen == len(values)
                assert await worker.terminate(within_s=60) == 0
                break
        deaths += 1
        assert deaths < STARTS + DEATHS, worker.log[-3000:]

    (letter,) = await read_all(mine, topics.dead_letters(topic), 1)
    assert dict(letter.headers)["dlq.error"] == CODE.encode()
    assert letter.value == values[77]
    assert deaths == STARTS - 1 + DEATHS
    assert "record.set_aside" in worker.log or "is set aside" in worker.log
    assert (await fingerprint(mine.postgres_dsn.get_secret_value()))["entities"][0] == 200
    assert await db.fetchval("SELECT max(in_hand) FROM partition_attempts") is None
