"""PostgreSQL that refuses whoever comes without TLS and a client's certificate."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from app.config.settings import Settings
from app.core.errors import ProfileError
from app.core.models import Batch
from storage.postgres.migrator import migrate, require_current
from storage.stores import Stores
from tests.integration.security.certificates import Certificates
from tests.integration.security.servers import secured
from tests.rows import prop

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]


async def test_migrations_and_stores_come_by_tls(tls_dsn: str, certificates: Certificates) -> None:
    told = secured(tls_dsn, certificates)
    await migrate(told)  # once for all tests of this server
    await require_current(told)
    settings = Settings.model_validate(
        {"postgres_dsn": told, "postgres_replica_dsns": [told], "cache_enabled": False, "roles": []}
    )
    stores = await Stores.open(settings)
    try:
        await stores.writer.write(Batch(properties=[prop("a", "name", '"A"')]))
        assert (await stores.entities.page(None, limit=1, after=0)).body != b"[]"
    finally:
        await stores.close()
    connection = await asyncpg.connect(told)
    assert await connection.fetchval("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    await connection.close()


@pytest.mark.parametrize(
    ("mode", "told"),
    [
        ("disable", "SQLSTATE 28000"),
        ("stranger", "certificate is not accepted"),
        ("no certificate", "PostgreSQL"),  # the server hangs up, or says why: as TLS 1.3 has it
        ("no file", "sslrootcert"),
    ],
)
async def test_what_is_not_as_it_should_be_is_refused(
    tls_dsn: str, certificates: Certificates, mode: str, told: str
) -> None:
    wrong = {
        "disable": f"{tls_dsn}?sslmode=disable",
        "stranger": secured(tls_dsn, certificates, certificates.stranger),
        "no certificate": f"{tls_dsn}?sslmode=verify-full&sslrootcert={certificates.ca}",
        "no file": secured(tls_dsn, certificates, Path("/nowhere.crt")),
    }[mode]
    with pytest.raises(ProfileError, match=told) as refused:
        await migrate(wrong)
    assert ":test@" not in str(refused.value)
    await asyncio.sleep(0.5)  # the driver lets go of a refused connection in later turns of the event loop
