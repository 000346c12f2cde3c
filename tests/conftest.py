"""Fixtures for tests on real servers. Unit tests use none of them."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from app.config.settings import Settings
from app.config.topics import TopicNames
from infra.settings import InfraSettings
from tests.databases import Databases
from tests.releases import available, releases
from tests.stack import TestStack, application_settings, infra_settings, own_topics

# Most tests ask without a key; those about keys set `required`, and a worker without this setting is tested, too.
os.environ["PROFILE_AUTH"] = "off"


@pytest.fixture(scope="session")
def test_stack() -> Iterator[TestStack]:
    """The session's servers; ask for the fixtures below instead."""
    stack = TestStack(infra_settings())
    yield stack
    stack.close()


@pytest.fixture(scope="session")
def postgres_stack(test_stack: TestStack) -> InfraSettings:
    """A PostgreSQL primary and two replicas."""
    return test_stack.need("postgres")


@pytest.fixture(scope="session")
def redis_stack(test_stack: TestStack) -> InfraSettings:
    """A Redis Cluster."""
    return test_stack.need("redis")


@pytest.fixture(scope="session")
def kafka_stack(test_stack: TestStack) -> InfraSettings:
    """A Kafka broker; it creates no topic by itself (see `topics`)."""
    return test_stack.need("kafka")


@pytest.fixture(scope="session")
def connect_stack(test_stack: TestStack) -> InfraSettings:
    """Kafka Connect with Debezium, on Kafka and PostgreSQL; tests register connectors of their own."""
    return test_stack.need("postgres", "kafka", "connect")


@pytest.fixture(scope="session")
def flink_stack(test_stack: TestStack) -> InfraSettings:
    """A Flink session cluster, on Kafka, without jobs."""
    return test_stack.need("kafka", "flink")


@pytest.fixture(scope="session")
def version_before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree of the version before this one, to run its code as processes: `Worker(…, root=version_before)`."""
    if "TEST_POSTGRES" in os.environ and releases()[-1].version == "0.1.0":
        pytest.skip("0.1.0 needs pg_partman, which these binaries of PostgreSQL don't have")
    return available(releases()[-1]).unpack(tmp_path_factory.mktemp("version-before"))


@pytest.fixture
def run_id() -> str:
    """Unique to one test; every name that it makes on a shared server holds it."""
    return uuid.uuid4().hex[:12]


@pytest.fixture(scope="session")
def databases(postgres_stack: InfraSettings) -> Iterator[Databases]:
    """The session's databases; ask for the next fixture instead."""
    made = Databases(postgres_stack)
    yield made
    asyncio.run(made.close())


@pytest.fixture
async def database(databases: Databases) -> AsyncIterator[str]:
    """The name of a migrated database without rows, on the replicas too, that no other test uses meanwhile."""
    async with databases.one() as name:
        yield name


@pytest.fixture
def topic_prefix(run_id: str) -> str:
    """The prefix of the test's topics, which `topics` creates."""
    return f"t-{run_id}."


@pytest.fixture
def cache_prefix(run_id: str) -> str:
    """The prefix of the test's keys in Redis."""
    return f"t-{run_id}"


@pytest.fixture
def settings(
    database: str,
    topic_prefix: str,
    cache_prefix: str,
    test_stack: TestStack,
) -> Settings:
    """The application's settings on this test's own database, topics and cache keys; web on any port."""
    servers = test_stack.need("postgres", "redis", "kafka")
    return application_settings(
        servers, database=database, topic_prefix=topic_prefix, cache_prefix=cache_prefix
    )


@pytest.fixture
async def db(settings: Settings) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A connection of the test's own to the primary."""
    connection = await asyncpg.connect(settings.postgres_dsn.get_secret_value())
    yield connection
    await connection.close()


@pytest.fixture
async def topics(settings: Settings) -> AsyncIterator[TopicNames]:
    """All topics of the service under the test's prefix, created; deleted afterwards."""
    async with own_topics(settings) as names:
        yield names
