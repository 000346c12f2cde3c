"""`python -m app doctor` against real servers: green where all is well, and a way out for what is taken away."""

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from app import __main__ as cli
from app.commands.doctor import examine
from app.config.settings import Settings
from app.config.topics import TopicNames
from app.core.api_keys import Scope
from app.core.check_results import Finding, Level
from storage.stores import Stores

if TYPE_CHECKING:
    import asyncpg

pytestmark = pytest.mark.integration


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    named = {finding.name: finding for finding in findings}
    assert len(named) == len(findings)
    assert all(finding.mend for finding in findings if finding.level is not Level.OK)
    return named


async def test_all_is_well_but_what_is_taken_away(
    settings: Settings, topics: TopicNames, db: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    found = by_name(await examine(settings))
    # A shared machine's load, and a connector that nobody has made here, are not ours to judge.
    wrong = {name for name, finding in found.items() if finding.level is Level.FAIL}
    assert wrong <= {"cdc", "cdc.connector"}
    assert {
        "postgres.session",
        "postgres.replica-2.lag",
        "kafka",
        "clock",
    } <= found.keys()
    assert sum(name.startswith("topic.") for name in found) == len(settings.topic_specs)

    await db.execute("ALTER PUBLICATION user_profile_cdc DROP TABLE edges")
    await db.execute("ALTER TABLE entities REPLICA IDENTITY DEFAULT")
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_brokers)
    await admin.start()
    try:
        await admin.delete_topics([topics.dead_letters(topics.temporal_data)])
    finally:
        await admin.close()
    letters = f"topic.{topics.dead_letters(topics.temporal_data)}"
    async with asyncio.timeout(60):
        # A broker that is busy tells of a deleted topic for a moment.
        while (found := by_name(await examine(settings)))[letters].level is Level.OK:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    assert found["postgres.publication"].what == "user_profile_cdc lacks edges"
    assert found["postgres.replica_identity"].level is Level.FAIL
    assert found[letters].what == "is missing"

    await db.execute("DELETE FROM schema_migrations WHERE name LIKE '0006%'")
    found = by_name(await examine(settings))
    assert found["postgres.schema"].mend == "`python -m app migrate`"


async def test_others_are_let_in_by_keys_alone(settings: Settings) -> None:
    beyond = settings.model_copy(update={"web_host": "0.0.0.0", "auth": "required"})
    open_to_all = beyond.model_copy(update={"auth": "off"})
    assert by_name(await examine(open_to_all))["settings.web_host"].level is Level.FAIL
    assert "the first start makes one" in by_name(await examine(beyond))["settings.web_host"].what
    stores = await Stores.open(settings.model_copy(update={"roles": []}))
    await stores.keys.add(
        key_id="0" * 12,
        digest=b"d" * 32,
        name="n",
        scopes=frozenset({Scope.METRICS}),
        expires_at=None,
        rate=None,
    )
    await stores.close()
    found = by_name(await examine(beyond))
    assert (found["settings.web_host"].level, found["keys"].what) == (Level.OK, "1 of 1 are good")


async def test_servers_that_are_away(settings: Settings, unused_tcp_port: int) -> None:
    nowhere = f"127.0.0.1:{unused_tcp_port}"
    away: dict[str, Any] = {
        "postgres_dsn": f"postgresql://u:p@{nowhere}/d",
        "postgres_replica_dsns": [],
        "redis_nodes": [nowhere],
        "kafka_brokers": [nowhere],
        "connect_url": f"http://{nowhere}",
    }
    found = by_name(await examine(Settings(_env_file=None, **away)))
    levels = {name: found[name].level for name in ("postgres.primary", "redis", "kafka", "cdc")}
    assert levels == dict.fromkeys(levels, Level.FAIL) | {"redis": Level.WARN}


def test_the_command_says_it_as_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], unused_tcp_port: int
) -> None:
    nowhere = f"127.0.0.1:{unused_tcp_port}"
    monkeypatch.setenv("PROFILE_POSTGRES_DSN", f"postgresql://u:p@{nowhere}/d")
    monkeypatch.setenv("PROFILE_KAFKA_BROKERS", nowhere)
    monkeypatch.setenv("PROFILE_REDIS_NODES", nowhere)
    monkeypatch.setenv("PROFILE_CONNECT_URL", f"http://{nowhere}")
    assert cli.main(["doctor", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert {"level", "name", "what", "mend"} == told[0].keys()
    assert "fail" in {finding["level"] for finding in told}
