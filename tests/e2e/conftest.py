"""What the fault tests of workers share."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from app.config.settings import Role, Settings
from infra import stack
from infra.locking import file_lock
from infra.settings import InfraSettings
from tests.e2e.cdc_pipeline import SERVERS, Pipeline
from tests.e2e.ingestion import PER_TOPIC, Undisturbed, fill, ingesting
from tests.e2e.own_stack import OwnStack
from tests.e2e.workers import Worker, fingerprint
from tests.stack import TestStack, application_settings, own_database, own_topics


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def undisturbed(
    test_stack: TestStack, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Undisturbed]:
    """Filled topics, which any number of groups may read, and what comes of them."""
    servers = test_stack.need("postgres", "redis", "kafka")
    name = uuid.uuid4().hex[:12]
    async with own_database(servers, f"test_{name}") as database:
        settings = ingesting(
            application_settings(
                servers, database=database, topic_prefix=f"t-{name}.", cache_prefix=f"t-{name}"
            )
        )
        async with own_topics(settings) as topics:
            total = await fill(settings, PER_TOPIC)
            with Worker(settings, tmp_path_factory.mktemp("undisturbed") / "worker.log") as worker:
                await worker.has_committed(topics.normalised, total, within_s=60)
                assert await worker.terminate(within_s=60) == 0
            found = await fingerprint(settings.postgres_dsn.get_secret_value())
            assert all(rows > 500 for rows, _ in found.values())
            yield Undisturbed(topic_prefix=settings.topic_prefix, total=total, fingerprint=found)


@pytest.fixture(scope="session")
def own_stack(test_stack: TestStack) -> Iterator[OwnStack]:
    """Servers that tests may kill, started by who needs them, one session of tests at a time; emptied afterwards."""
    if os.environ.get("TEST_STACK") == "containers":
        pytest.skip("it kills native servers")
    shared = test_stack.settings
    settings = InfraSettings(
        port_offset=shared.port_offset + 1_000,
        postgres_max_connections=60,
        kafka_heap_mb=256,
        connect_offset_flush_ms=500,
    )
    if set(settings.all_ports) & set(shared.all_ports):
        pytest.skip("ports that are set by name leave none for a second stack")
    with file_lock(settings.data_root / f"stack-{settings.port_offset}.tests.lock"):
        own = OwnStack(settings)
        yield own
        own.reset()


@pytest.fixture
async def own_settings(own_stack: OwnStack, test_stack: TestStack, run_id: str) -> AsyncIterator[Settings]:
    """Settings of ingesting workers on the own stack, with topics and a database; Redis is the shared one."""
    shared, servers = test_stack.need("redis"), own_stack.settings
    await asyncio.to_thread(own_stack.start, "postgres", "kafka")
    async with own_database(servers, f"test_{run_id}") as database:
        settings = ingesting(
            application_settings(
                servers, database=database, topic_prefix=f"t-{run_id}.", cache_prefix=f"t-{run_id}"
            ),
            redis_nodes=shared.redis_nodes,
        )
        async with own_topics(settings):
            yield settings


@pytest.fixture
async def pipeline(
    own_stack: OwnStack, test_stack: TestStack, run_id: str, tmp_path: Path
) -> AsyncIterator[Pipeline]:
    shared = test_stack.need("redis")
    await asyncio.to_thread(own_stack.start, *SERVERS)
    async with own_database(own_stack.settings, f"test_{run_id}") as database:
        settings = application_settings(
            own_stack.settings, database=database, topic_prefix=f"t-{run_id}.", cache_prefix=f"t-{run_id}"
        ).model_copy(update={"roles": [Role.CDC], "redis_nodes": shared.redis_nodes})
        async with own_topics(settings):
            yield Pipeline(own_stack, settings, tmp_path, run_id)
    await asyncio.to_thread(stack.reset, own_stack.settings, ["connect"])
