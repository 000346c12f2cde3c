"""What a running stack needs before a worker can use it: topics, schema, connector, Flink jobs.

The order matters: the connector needs the publication that the migrations make, and the topic that it
writes to; the jobs need their topics. Every step may be repeated without harm. What a step needs of the
other packages is imported in it, so that `down` and `status` work even where those don't import.
"""

import asyncio
import logging
from collections.abc import Collection

from pydantic import SecretStr

from app.config.settings import Settings
from infra.compose import primary_dsn_inside
from infra.settings import InfraSettings

logger = logging.getLogger(__name__)


def app_settings(settings: InfraSettings) -> Settings:
    """The application's settings of the environment, but on the servers of this stack."""
    return Settings.model_validate(
        Settings().model_dump()
        | {
            "kafka_brokers": [settings.kafka_broker],
            "postgres_dsn": settings.postgres_dsn(),
            "postgres_replica_dsns": [settings.postgres_dsn(node) for node in (1, 2)],
            "redis_nodes": settings.redis_nodes,
            "connect_url": settings.connect_url,
        }
    )


def provision(settings: InfraSettings, services: Collection[str], *, in_containers: bool = False) -> None:
    """Do the steps whose servers are among `services`, all of which are ready.

    With containers the Flink jobs are another container's task (`flink-jobs`).
    """
    application = app_settings(settings)
    if "kafka" in services:
        create_topics(application)
    if "postgres" in services:
        migrate(application)
        make_logins(settings, application)
    if {"postgres", "kafka", "connect"} <= set(services):
        register_connector(settings, application, in_containers=in_containers)
    if {"kafka", "flink"} <= set(services) and not in_containers:
        submit_jobs(settings, application)


def create_topics(application: Settings) -> None:
    """Create every topic that is missing; existing ones are left as they are."""
    from app.kafka.admin import create_topics as create  # noqa: PLC0415 - see above

    specs = application.topic_specs
    asyncio.run(create(application.kafka_brokers, specs))
    logger.info("%d topics are there", len(specs))


def migrate(application: Settings) -> None:
    """Bring the schema up to date."""
    from storage.postgres.migrator import migrate as apply  # noqa: PLC0415 - see above

    applied = asyncio.run(apply(application.postgres_dsn.get_secret_value()))
    logger.info("The schema is up to date (%d migrations applied now)", len(applied))


def make_logins(settings: InfraSettings, application: Settings) -> None:
    """A login for each of the database's roles that workers and Debezium use."""
    from storage.postgres.roles import DatabaseRole, Login, make_login  # noqa: PLC0415 - see above

    roles = {"reader": DatabaseRole.READER, "writer": DatabaseRole.WRITER, "cdc": DatabaseRole.CDC}

    async def make() -> None:
        for name, role in roles.items():
            user, password = settings.postgres_login(name)
            login = Login(name=user, password=password)
            await make_login(application.postgres_dsn.get_secret_value(), login, role)

    asyncio.run(make())
    logger.info("The logins of %s are there", ", ".join(roles.values()))


def register_connector(
    settings: InfraSettings, application: Settings, *, in_containers: bool = False
) -> None:
    """Register the settings' Debezium connector and return when it runs."""
    from cdc.connector.config import config_of  # noqa: PLC0415 - see above
    from infra.connector import ConnectClient  # noqa: PLC0415 - see above

    if in_containers:
        inside = SecretStr(primary_dsn_inside(settings))
        application = application.model_copy(update={"connect_postgres_dsn": inside})
    ConnectClient(settings.connect_url).register(application.connector_name, config_of(application))
    logger.info("The connector %s runs", application.connector_name)


def submit_jobs(settings: InfraSettings, application: Settings) -> None:
    """Submit the Flink jobs that do not run."""
    from infra.flink.jobs import submit  # noqa: PLC0415 - see above

    submit(settings, topic_prefix=application.topic_prefix)


def deploy_jobs(settings: InfraSettings, application: Settings, *, anew: bool = False) -> list[str]:
    """Upgrade the running Flink jobs; return the names of what was started."""
    from infra.flink.deploy import deploy  # noqa: PLC0415 - see above

    return deploy(settings, topic_prefix=application.topic_prefix, anew=anew)
