"""Every query of the alerts and of the dashboard, against what a worker with all roles exposes."""

import asyncio
from pathlib import Path

import aiohttp
import pytest
from aiokafka import AIOKafkaProducer
from prometheus_client.parser import text_string_to_metric_families

from app.config.settings import Settings
from app.config.topics import TopicNames
from infra.settings import InfraSettings
from tests.e2e.workers import Worker
from tests.observability import BY_PROMETHEUS, OF_FLINK, OF_PROMETHEUS, queries
from tests.seed_bodies import SEED_INGEST, SEED_SYNC
from tests.unit.infra.test_observability import labels_of

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

# Of what happens only when something is wrong there are no samples, and so no labels, on a good day.
ONLY_IN_TROUBLE = {
    "profile_audit_stale_total",
    "profile_cdc_repeater_retries_total",
    "profile_read_failures_total",
}
# Of a connector and its events, which this test does not make; its tests hold them.
OF_THE_CONNECTOR = {"profile_cdc_connector_parts", "profile_cdc_events_total"}
RECORD = (
    b'{"entity_reference": "a", "entity_type": "user", "field_name": "score", "field_value": 1, '
    b'"reference_date": "2025-01-15T10:30:00Z"}'
)


async def traffic(port: int, settings: Settings, topics: TopicNames) -> None:
    """Something of each kind: writes, reads from all levels, records good and bad."""
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka_brokers)
    await producer.start()
    try:
        for value in (RECORD, RECORD, b"no json"):
            await producer.send_and_wait(topics.entity_properties, value, key=b"k")
    finally:
        await producer.stop()
    json_type = {"Content-Type": "application/json"}
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
        async with asyncio.timeout(90):
            while True:
                try:
                    async with http.get("/readyz") as response:
                        if response.status == 200:
                            break
                except aiohttp.ClientConnectionError:
                    pass
                await asyncio.sleep(0.2)
        for path, body in (("/v1/graph/sync", SEED_SYNC), ("/v1/temporal/ingest", SEED_INGEST)):
            async with http.post(path, data=body.encode(), headers=json_type) as response:
                assert response.status == 202
        async with http.get("/v1/graph/by-reference/user/user-12345") as response:
            root = (await response.json())["id"]
        for _ in range(3):
            async with http.get(f"/v1/graph/{root}") as response:
                assert response.status == 200
            async with http.get("/v1/graph/by-property/status/value/premium") as response:
                assert response.status == 200


async def scrape(port: int) -> dict[str, set[str]]:
    """The labels of each sample by its name; families without samples have none."""
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}/metrics") as response:
        text = await response.text()
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        names = {
            "counter": [f"{family.name}_total"],
            "histogram": [f"{family.name}_{part}" for part in ("bucket", "count", "sum")],
        }.get(family.type, [family.name])
        found |= {name: set() for name in names}
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


async def test_each_query_finds_its_metrics_and_labels(
    settings: Settings,
    topics: TopicNames,
    connect_stack: InfraSettings,
    tmp_path: Path,
    unused_tcp_port: int,
) -> None:
    port = unused_tcp_port
    with Worker(
        settings, tmp_path / "worker.log", PROFILE_WEB_PORT=str(port), PROFILE_PROCESSES="auto"
    ) as worker:
        await traffic(port, settings, topics)
        await worker.has_committed([topics.entity_properties], 3, within_s=60)
        exposed: dict[str, set[str]] = {}
        async with asyncio.timeout(30):
            # Audits and looks at servers come after some seconds.
            while not exposed.get("profile_replica_lag_seconds") or not exposed.get(
                "profile_cdc_slot_status"
            ):
                exposed = await scrape(port)
                await asyncio.sleep(0.5)
    for query in queries():
        known = set(OF_PROMETHEUS)
        for name, matched in query.selectors.items():
            if name in BY_PROMETHEUS or name in OF_FLINK:
                known |= OF_FLINK.get(name, frozenset())
                continue
            assert name in exposed, f"{query.name}: {name} is not exposed"
            labels = exposed[name]
            if name in ONLY_IN_TROUBLE | OF_THE_CONNECTOR:
                labels = labels or labels_of(name)
            assert matched <= labels, f"{query.name}: {name} has {labels}"
            known |= labels
        assert query.grouped <= known, query.name
