"""What the fault tests of workers share."""

import uuid
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.e2e.ingestion import PER_TOPIC, Undisturbed, fill, ingesting
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
                assert await worker.terminate(within_s=20) == 0
            found = await fingerprint(settings.postgres_dsn.get_secret_value())
            assert all(rows > 500 for rows, _ in found.values())
            yield Undisturbed(topic_prefix=settings.topic_prefix, total=total, fingerprint=found)
