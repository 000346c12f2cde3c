"""The servers that tests use: a stack of their own, beside a running demo.

Natively (the default) it is that of `python -m infra` with all ports moved by INFRA_PORT_OFFSET (20000
here, if unset), so `INFRA_PORT_OFFSET=20000 python -m infra status` shows it. Only what a test asks for is
started. What a session started it stops and empties at its end, unless TEST_STACK_KEEP=1; what ran before
the session stays as it was.

TEST_POSTGRES=16 (17, 18) takes that version's binaries of npm in place of the system's PostgreSQL.

TEST_STACK=containers takes the servers of infra/compose.yaml through testcontainers instead, where a Docker
engine answers. This path was not run on a machine without one.
"""

import hashlib
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import asyncpg
from aiokafka.admin import AIOKafkaAdminClient
from pydantic import SecretStr
from testcontainers.compose import DockerCompose

from app.config.settings import Settings
from app.config.topics import TopicNames
from cdc.connector.client import ConnectClient
from cdc.connector.config import connector_config
from infra import stack
from infra.compose import COMPOSE_FILE, SERVICE_CONTAINERS, environment, project
from infra.locking import file_lock
from infra.services import SERVICES
from infra.settings import InfraSettings
from tests.run.servers import FOR_TESTS

DEFAULT_OFFSET: Final = 20_000
MIGRATIONS: Final = Path(__file__).parents[1] / "storage" / "migrations"


def infra_settings() -> InfraSettings:
    """The settings of the tests' stack: the environment's, on the tests' ports unless it names others."""
    named = {} if "INFRA_PORT_OFFSET" in os.environ else {"port_offset": DEFAULT_OFFSET}
    version = os.environ.get("TEST_POSTGRES")
    chosen = {"postgres_version": int(version)} if version else {}
    return InfraSettings(**FOR_TESTS, **named, **chosen)


class TestStack:
    """Starts services once per session, and stops what it started."""

    __test__ = False

    def __init__(self, settings: InfraSettings) -> None:
        self.settings = settings
        self._ready: set[str] = set()
        self._started: set[str] = set()
        self._containers: list[DockerCompose] = []

    def need(self, *names: str) -> InfraSettings:
        """Return when these services answer. Raises InfraError with the reason when they can't."""
        missing = [name for name in names if name not in self._ready]
        if missing:
            if os.environ.get("TEST_STACK") == "containers":
                self._start_containers(missing)
            else:
                self._start_natively(missing)
            self._ready.update(missing)
        return self.settings

    def _start_natively(self, names: list[str]) -> None:
        before = {name for name, kind in SERVICES.items() if kind(self.settings).running()}
        services = stack.up(self.settings, names)
        self._started |= {service.name for service in services} - before

    def _start_containers(self, names: list[str]) -> None:
        # In a project of its own: what this removes at its end is nobody else's.
        os.environ.update(environment(self.settings), COMPOSE_PROJECT_NAME=f"{project(self.settings)}-tests")
        compose = DockerCompose(
            context=COMPOSE_FILE.parent,
            compose_file_name=COMPOSE_FILE.name,
            build=True,
            services=[container for name in names for container in SERVICE_CONTAINERS[name]],
        )
        self._containers.append(compose)
        compose.start()

    def close(self) -> None:
        """Stop and empty what this session started, unless it is to be kept."""
        if os.environ.get("TEST_STACK_KEEP") == "1":
            return
        if self._started:
            stack.reset(self.settings, sorted(self._started))
        for compose in self._containers:
            compose.stop()


async def migrated_template(settings: InfraSettings) -> str:
    """The name of a database with the schema of the migrations as they are now; made once, then copied."""
    from storage.postgres.migrator import migrate  # noqa: PLC0415 - only tests with a database need the migrator

    files = [*sorted(MIGRATIONS.glob("*.sql")), MIGRATIONS.parent / "sql" / "roles.sql"]
    content = b"".join(path.read_bytes() for path in files)
    name = f"template_{hashlib.sha256(content).hexdigest()[:12]}"
    with file_lock(settings.data_root / f"stack-{settings.port_offset}.template.lock"):
        connection = await asyncpg.connect(settings.postgres_dsn(database="postgres"))
        try:
            if await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
                return name
            scratch = f"{name}_new"
            await connection.execute(f"DROP DATABASE IF EXISTS {scratch} WITH (FORCE)")
            await connection.execute(f"CREATE DATABASE {scratch}")
            await migrate(settings.postgres_dsn(database=scratch))
            await _make_logins(settings)
            # Nobody may be connected to a template while it is copied.
            await connection.execute(f"ALTER DATABASE {scratch} ALLOW_CONNECTIONS false")
            await connection.execute(f"ALTER DATABASE {scratch} RENAME TO {name}")
        finally:
            await connection.close()
    return name


async def _make_logins(settings: InfraSettings) -> None:
    """Those with which the code under test connects: each may what its role may, and no more."""
    from storage.postgres.roles import DatabaseRole, Login, make_login  # noqa: PLC0415 - see above

    for name, role in (
        ("reader", DatabaseRole.READER),
        ("writer", DatabaseRole.WRITER),
        ("cdc", DatabaseRole.CDC),
    ):
        user, password = settings.postgres_login(name)
        await make_login(
            settings.postgres_dsn(database="postgres"), Login(name=user, password=password), role
        )


async def create_database(settings: InfraSettings, name: str) -> None:
    """A fresh, migrated database that both replicas have too."""
    template = await migrated_template(settings)
    connection = await asyncpg.connect(settings.postgres_dsn(database="postgres"))
    try:
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        await wait_for_replicas(connection)
    finally:
        await connection.close()


def application_settings(
    servers: InfraSettings, *, database: str, topic_prefix: str, cache_prefix: str
) -> Settings:
    """The application's settings on these servers, with names of one's own; web on any port."""
    return Settings.model_validate(
        {
            "app_id": topic_prefix.rstrip("."),
            "kafka_brokers": [servers.kafka_broker],
            "topic_prefix": topic_prefix,
            "topic_partitions": 2,
            "source_topic_partitions": 2,
            "postgres_dsn": servers.postgres_dsn(database=database),
            "postgres_read_dsn": servers.postgres_dsn(database=database, role="reader"),
            "postgres_write_dsn": servers.postgres_dsn(database=database, role="writer"),
            "postgres_replica_dsns": [
                servers.postgres_dsn(node, database=database, role="reader") for node in (1, 2)
            ],
            "redis_nodes": servers.redis_nodes,
            "cache_prefix": cache_prefix,
            "web_port": 0,
            "connect_url": servers.connect_url,
            "connect_credentials": "dsn",  # Debezium's own login is that of tests/integration/security
        }
    )


def with_primary(settings: Settings, change: Callable[[str], str]) -> Settings:
    """The settings with each DSN of the primary changed: to another database, port or host."""
    names = ("postgres_dsn", "postgres_read_dsn", "postgres_write_dsn")
    held: dict[str, SecretStr | None] = {name: getattr(settings, name) for name in names}
    return settings.model_copy(
        update={
            name: SecretStr(change(dsn.get_secret_value())) for name, dsn in held.items() if dsn is not None
        }
    )


def to_database(name: str) -> Callable[[str], str]:
    """A change for `with_primary`."""
    return lambda dsn: urlsplit(dsn)._replace(path=f"/{name}").geturl()


@asynccontextmanager
async def own_database(settings: InfraSettings, name: str) -> AsyncIterator[str]:
    """A fresh, migrated database, on the replicas too; dropped afterwards, with its slots."""
    await create_database(settings, name)
    yield name
    await drop_database(settings, name)


@asynccontextmanager
async def own_topics(settings: Settings) -> AsyncIterator[TopicNames]:
    """All topics of the service under the settings' prefix, created; deleted afterwards."""
    from app.kafka.admin import create_topics  # noqa: PLC0415 - only tests with topics need it

    specs = settings.topic_specs
    await create_topics(settings.kafka_brokers, specs)
    yield settings.topics
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_brokers)
    await admin.start()
    try:
        await admin.delete_topics([spec.name for spec in specs])
    finally:
        await admin.close()


@asynccontextmanager
async def own_connector(servers: InfraSettings, settings: Settings, name: str) -> AsyncIterator[None]:
    """Debezium on the settings' database and topics, under a name that its slot bears too; deleted afterwards."""
    client = ConnectClient(servers.connect_url)
    config = connector_config(
        database_dsn=settings.postgres_dsn.get_secret_value(),
        cdc_topic=settings.topics.cdc,
        slot=name,
        topic_prefix=settings.topic_prefix,
    )
    await client.register(name, config)
    try:
        yield
    finally:
        await client.delete(name)


async def wait_for_replicas(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Return when both replicas have replayed what the primary has flushed now."""
    await connection.execute(
        """
        DO $$
        DECLARE position pg_lsn := pg_current_wal_flush_lsn();
        BEGIN
            FOR attempt IN 1 .. 12000 LOOP
                PERFORM pg_stat_clear_snapshot();
                EXIT WHEN (SELECT count(*) FROM pg_stat_replication
                           WHERE application_name = 'walreceiver' AND replay_lsn >= position) >= 2;
                PERFORM pg_sleep(0.01);
            END LOOP;
        END $$
        """
    )


async def drop_database(settings: InfraSettings, name: str) -> None:
    """Drop a test's database with its replication slots, even where clients are still connected."""
    connection = await asyncpg.connect(settings.postgres_dsn(database="postgres"))
    try:
        await drop_slots(connection, name)
        await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    finally:
        await connection.close()


async def drop_slots(connection: "asyncpg.Connection[asyncpg.Record]", database: str) -> None:
    """Drop the replication slots of a database, even those that a client still reads."""
    active = "FROM pg_replication_slots WHERE database = $1 AND active"
    await connection.execute(f"SELECT pg_terminate_backend(active_pid) {active}", database)
    for _ in range(100):
        if not await connection.fetchval(f"SELECT count(*) {active}", database):
            break
        await connection.execute("SELECT pg_sleep(0.05)")
    await connection.execute(
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = $1", database
    )
