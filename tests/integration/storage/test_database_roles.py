"""What each role of the database may do, and no more. That it may do enough, all other tests show: their stores connect
as logins of these roles (tests/stack.py)."""

import base64
from collections.abc import AsyncIterator
from typing import Any, Final

import asyncpg
import pytest

from app.commands import roles as command
from app.config.settings import Settings
from cdc.connector.config import HEARTBEAT_QUERY
from infra.settings import InfraSettings
from storage.doctor.rights import rights_findings
from storage.postgres.migrator import migrate
from storage.postgres.queries import query
from storage.postgres.roles import DatabaseRole, Login, grant_rights, make_login, scram_verifier

pytestmark = pytest.mark.integration

ENTITY: Final = "INSERT INTO entities (type, reference) VALUES ('t', 'r')"
KEY: Final = "INSERT INTO api_keys (id, digest, name, scopes) VALUES ('{}', '\\x00', 'n', '{{admin}}')"
REFUSED: Final = {
    "reader": [
        ENTITY,
        "UPDATE entities SET properties = '{}'",
        "DELETE FROM edges",
        "DELETE FROM temporal_properties",
        KEY.format("a"),
        "UPDATE api_keys SET revoked_at = NULL",
        "DELETE FROM erasures",
        "SELECT * FROM dbz_heartbeat",
        "SELECT * FROM erased_letters",
        "CREATE TABLE mine (id int)",
        "TRUNCATE entities",
        "ALTER PUBLICATION user_profile_cdc DROP TABLE entities",
        "SELECT pg_create_logical_replication_slot('s', 'pgoutput')",
        "SELECT publish_points_from(now())",
        "COPY entities TO PROGRAM 'cat'",
        "CREATE ROLE another",
    ],
    "writer": [
        "UPDATE api_keys SET scopes = '{admin}'",
        "DELETE FROM api_keys",
        "DELETE FROM erasures",
        "DELETE FROM schema_migrations",
        "UPDATE dbz_heartbeat SET ts = now()",
        "CREATE TABLE mine (id int)",
        "TRUNCATE entities",
        "DROP TABLE edges",
        "ALTER TABLE entities REPLICA IDENTITY DEFAULT",
        "ALTER PUBLICATION user_profile_cdc DROP TABLE entities",
        "SELECT pg_create_logical_replication_slot('s', 'pgoutput')",
        "SELECT publish_points_from(now())",
        "COPY entities FROM PROGRAM 'cat'",
        "CREATE ROLE another",
    ],
    "cdc": [
        ENTITY,
        "UPDATE edges SET metadata = NULL",
        "SELECT * FROM api_keys",
        "SELECT * FROM erasures",
        "DELETE FROM dbz_heartbeat",
        "CREATE TABLE mine (id int)",
        "ALTER PUBLICATION user_profile_cdc DROP TABLE entities",
    ],
}


@pytest.fixture
async def as_role(
    db: Any, postgres_stack: InfraSettings, database: str
) -> AsyncIterator[dict[str, "asyncpg.Connection[asyncpg.Record]"]]:
    opened = {
        role: await asyncpg.connect(postgres_stack.postgres_dsn(database=database, role=role))
        for role in REFUSED
    }
    yield opened
    for connection in opened.values():
        await connection.close()


async def test_what_is_not_a_roles_is_refused(as_role: Any) -> None:
    for role, statements in REFUSED.items():
        for statement in statements:
            try:
                await as_role[role].execute(statement)
            except asyncpg.InsufficientPrivilegeError:
                continue
            pytest.fail(f"{role} may {statement}")


async def test_each_table_has_its_rights_and_an_owner(db: Any) -> None:
    assert [row["object"] for row in await db.fetch(query("rights")) if not row["granted"]] == []
    assert await db.fetch(query("not_owned")) == []
    assert await db.fetch(query("unnamed_tables")) == [], "name it in storage/sql/roles.sql"


async def test_a_worker_makes_the_first_key_and_no_other(as_role: Any, db: Any) -> None:
    await as_role["writer"].execute(KEY.format("first"))
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await as_role["writer"].execute(KEY.format("second"))
    await db.execute(KEY.format("by-an-operator"))


async def test_debezium_writes_its_heartbeat_and_may_replicate(as_role: Any, db: Any) -> None:
    await as_role["cdc"].execute(HEARTBEAT_QUERY)
    assert await as_role["cdc"].fetchval("SELECT rolreplication FROM pg_roles WHERE rolname = current_user")
    assert await as_role["cdc"].fetch("SELECT * FROM entities") == []


async def test_an_owner_without_other_powers_migrates(
    postgres_stack: InfraSettings, database: str, db: Any
) -> None:
    """As on managed servers: what it may not do is a sentence, and the schema is complete."""
    login = Login(name="profile_owner", password="o")
    await make_login(postgres_stack.postgres_dsn(database=database), login, DatabaseRole.OWNER)
    await db.execute("ALTER TABLE dbz_heartbeat OWNER TO CURRENT_USER")
    await db.execute("REVOKE SELECT ON entities FROM user_profile_cdc")
    await db.execute("ALTER TABLE erasures OWNER TO user_profile_owner")
    dsn = postgres_stack.postgres_dsn(database=database).replace(
        ":".join(postgres_stack.postgres_login()), f"{login.name}:{login.password}"
    )
    assert await migrate(dsn) == []
    connection = await asyncpg.connect(dsn)
    try:
        refused = await grant_rights(connection)
    finally:
        await connection.close()
    assert len(refused) == 1
    assert "dbz_heartbeat" in refused[0]
    assert "administrator" in refused[0]
    assert await db.fetchval("SELECT has_table_privilege('user_profile_cdc', 'entities', 'SELECT')")


async def test_doctor_names_what_lacks_and_what_is_too_much(settings: Settings, db: Any) -> None:
    assert {finding.level.value for finding in await rights_findings(settings)} == {"ok"}
    await db.execute("REVOKE UPDATE ON entities FROM user_profile_writer")
    alone = settings.model_copy(
        update={"postgres_read_dsn": None, "postgres_write_dsn": settings.postgres_dsn}
    )
    found = {finding.name: finding for finding in await rights_findings(alone)}
    assert "UPDATE on entities (user_profile_writer)" in found["postgres.rights"].what
    assert "administers the server" in found["postgres.reader"].what
    assert "administers the server" in found["postgres.writer"].what


async def test_the_command_makes_the_logins_of_the_settings(
    settings: Settings, db: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    await db.execute("REVOKE UPDATE ON entities FROM user_profile_writer")
    assert await command._run(settings) == 0
    told = capsys.readouterr().out
    assert "profile_reader is a login of user_profile_reader." in told
    assert "profile_writer is a login of user_profile_writer." in told
    assert await db.fetchval("SELECT has_table_privilege('user_profile_writer', 'entities', 'UPDATE')")


async def test_the_server_is_sent_a_verifier_and_takes_the_password(
    postgres_stack: InfraSettings, database: str, db: Any
) -> None:
    login = Login(name="profile_verified", password="p%: /é")
    admin = postgres_stack.postgres_dsn(database=database)
    await make_login(admin, login, DatabaseRole.READER)
    verifier = await db.fetchval("SELECT rolpassword FROM pg_authid WHERE rolname = $1", login.name)
    salt = base64.b64decode(verifier.split(":")[1].split("$")[0])
    assert verifier == scram_verifier(login.password, salt)
    connection = await asyncpg.connect(admin, user=login.name, password=login.password)
    await connection.close()
