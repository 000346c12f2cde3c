"""The main job: events of the five source topics become graph answers and domain events, through every server."""

import argparse
import asyncio
import json
import runpy
import sqlite3
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import jsonschema
import pytest
from aiokafka import AIOKafkaConsumer

from app.config.settings import Settings
from app.config.topics import TopicNames
from infra.flink import jobs as flink_jobs
from infra.settings import InfraSettings
from load.demo.verify import compare, monthly_sums
from load.generate import source_events
from load.generate.purchases import Totals, by_month, overall
from load.generate.sending import send
from tests.e2e import tutorial
from tests.e2e.workers import ROOT, Worker, environment
from tests.stack import own_connector

pytestmark = [pytest.mark.integration, pytest.mark.e2e, pytest.mark.timeout(900)]

USERS = 30
ARRIVAL_S = 240.0


@pytest.fixture
async def connector(
    connect_stack: InfraSettings, settings: Settings, topics: TopicNames, run_id: str
) -> AsyncIterator[None]:
    """Debezium on the test's database and topics."""
    assert settings.topics == topics
    async with own_connector(connect_stack, settings, f"e2e_{run_id}"):
        yield


@pytest.fixture
def jobs(flink_stack: InfraSettings, topics: TopicNames) -> Iterator[None]:
    """The Flink jobs on the test's topics."""
    flink_jobs.submit(flink_stack, topic_prefix=topics.prefix)
    yield
    flink_jobs.cancel(flink_stack, topic_prefix=topics.prefix)


def _events() -> tuple[source_events.Events, dict[tuple[str, str], Totals]]:
    """Source events of invented users, late, doubled and malformed ones among them, and the sums to be found."""
    parser = argparse.ArgumentParser()
    source_events.add_arguments(parser)
    args = parser.parse_args(["--data", "generated", "--users", str(USERS), "--seed", "7"])
    (purchases,) = source_events.chunks(args)
    events, _ = source_events.build(purchases, origin="generated", seed=7)
    return events, by_month(purchases)


async def _arrived(settings: Settings, payments: int) -> None:
    connection = await asyncpg.connect(settings.postgres_dsn.get_secret_value())
    try:
        async with asyncio.timeout(ARRIVAL_S):
            while True:
                found = await connection.fetchval(
                    "SELECT coalesce(sum((value ->> 'transaction_count')::int), 0) FROM temporal_properties "
                    "WHERE key = 'payments' AND granularity = 'month'"
                )
                if found == payments:
                    return
                await asyncio.sleep(0.3)
    except TimeoutError:
        raise AssertionError(f"{found} of {payments} payments arrived within {ARRIVAL_S} s") from None
    finally:
        await connection.close()


async def _domain_events(
    settings: Settings, about: bytes, kinds: set[str]
) -> dict[str, list[dict[str, Any]]]:
    """Events by type, read until all of `kinds` about this entity were seen."""
    consumer = AIOKafkaConsumer(
        settings.topics.domain_events,
        bootstrap_servers=settings.kafka_brokers,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level="read_committed",
    )
    await consumer.start()
    seen: dict[str, list[dict[str, Any]]] = {}
    try:
        async with asyncio.timeout(ARRIVAL_S):
            while not kinds <= seen.keys():
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    for record in records:
                        headers = {name: value.decode() for name, value in record.headers}
                        body = json.loads(record.value)
                        kind = headers["event_type"]
                        schema = json.loads((ROOT / f"cdc/schemas/{kind}.json").read_text())
                        jsonschema.validate(body, schema)
                        assert uuid.UUID(headers["event_id"])
                        assert headers["source_service"] == "user-profile-api"
                        if record.key == about:
                            seen.setdefault(kind, []).append(body)
    finally:
        await consumer.stop()
    return seen


async def _settled(http: aiohttp.ClientSession, path: str) -> dict[str, Any]:
    """The tree, once what the jobs write of it is there and has stopped changing."""
    seen: dict[str, Any] = {}
    async with asyncio.timeout(ARRIVAL_S):
        while True:
            async with http.get(path) as response:
                assert response.status == 200
                tree: dict[str, Any] = await response.json()
            told = tree["properties"].keys() >= {"email", "document"}
            if told and {"member_of", "uses"} <= {edge["type"] for edge in tree["edges"]} and tree == seen:
                return tree
            seen = tree
            await asyncio.sleep(2)


async def _remembered(http: aiohttp.ClientSession, path: str) -> Any:
    """The tree, once it is answered from memory: late repeats of changes (design, 5, rule 7) still empty it."""
    async with asyncio.timeout(ARRIVAL_S):
        while True:
            async with http.get(path) as response:
                if response.headers["Cache-Status"] == "user-profile; hit":
                    return await response.json()
            await asyncio.sleep(0.05)


async def _consumer_has_all_users(settings: Settings) -> None:
    """The sample consumer of the documents comes to the users of the database."""
    consumer = runpy.run_path(str(ROOT / "docs/examples/consumer.py"))
    connection = await asyncpg.connect(settings.postgres_dsn.get_secret_value())
    users = "SELECT id::text, reference, properties #>> '{email,value}' FROM entities WHERE type = 'user'"
    with sqlite3.connect(":memory:") as db:
        db.executescript(consumer["TABLES"])
        reading = asyncio.create_task(
            consumer["consume"](db, ",".join(settings.kafka_brokers), settings.topics.domain_events)
        )
        try:
            async with asyncio.timeout(ARRIVAL_S):
                while True:
                    expected = {tuple(row) for row in await connection.fetch(users)}
                    kept = set(db.execute("SELECT entity_id, reference, email FROM customers"))
                    if kept == expected and len(expected) >= USERS:
                        return
                    assert not reading.done(), reading
                    await asyncio.sleep(0.3)
        except TimeoutError:
            raise AssertionError(f"missing {expected - kept}, too many {kept - expected}") from None
        finally:
            reading.cancel()
            await connection.close()


async def _in_a_segment(settings: Settings) -> str:
    """The reference of a user whose segment has others."""
    connection = await asyncpg.connect(settings.postgres_dsn.get_secret_value())
    try:
        return await connection.fetchval(
            "SELECT e.reference FROM edges a JOIN entities e ON e.id = a.left_entity_id AND e.type = 'user' "
            "WHERE a.relationship_type = 'in_segment' AND (SELECT count(*) FROM edges b "
            "WHERE b.right_entity_id = a.right_entity_id AND b.relationship_type = 'in_segment') > 2 "
            "AND e.properties ?& ARRAY['email', 'full_name'] ORDER BY e.id LIMIT 1"
        )
    finally:
        await connection.close()


@pytest.mark.usefixtures("connector", "jobs")
async def test_source_events_become_answers_and_domain_events(
    settings: Settings, topics: TopicNames, tmp_path: Path, unused_tcp_port: int
) -> None:
    events, months = _events()
    base_url = f"http://127.0.0.1:{unused_tcp_port}"
    with Worker(
        settings, tmp_path / "worker.log", "-p", str(unused_tcp_port), PROFILE_PROCESSES="auto"
    ) as worker:
        for topic, messages in zip(topics.sources, events, strict=True):
            await send(settings.kafka_brokers, topic, messages, total=len(messages))
        await _arrived(settings, overall(months.values()).transaction_count)

        # Every cent, late and doubled events included, read back over HTTP.
        references = sorted({reference for reference, _ in months})
        assert compare(months, await monthly_sums(base_url, references)).transaction_count > USERS

        reference = references[0]
        async with aiohttp.ClientSession(base_url) as http:
            path = f"/v1/graph/by-reference/user/{reference}"
            tree = await _settled(http, path)
            assert await _remembered(http, path) == tree
            async with http.get(f"/v1/graph/{tree['id']}") as by_id:
                assert await by_id.json() == tree
            email = tree["properties"]["email"]["value"]
            async with http.get(f"/v1/graph/by-property/email/value/{email}") as by_email:
                assert [found["id"] for found in await by_email.json()] == [tree["id"]]
        assert {edge["type"] for edge in tree["edges"]} >= {"member_of", "uses"}
        assert tree["properties"]["document"]["value"]["type"] == "cpf"

        seen = await _domain_events(
            settings,
            f"user:{reference}".encode(),
            {"entity_created", "relationship_created", "temporal_data_created"},
        )
        assert {event["data"]["reference"] for found in seen.values() for event in found} == {reference}
        keys = [event["event_idempotency_key"] for found in seen.values() for event in found]
        assert len(keys) == len(set(keys))

        await _consumer_has_all_users(settings)
        own = {"URL": base_url, "KEY": "none-is-asked-for", "CUSTOMER": await _in_a_segment(settings)}
        assert await asyncio.to_thread(tutorial.differences, tmp_path, environment(settings, **own)) == []
        assert await worker.terminate(within_s=30) == 0
