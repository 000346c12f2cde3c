"""PostgreSQL that refuses whoever comes without TLS and a client's certificate."""

import asyncio
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from app.config.settings import Settings
from app.core.errors import ProfileError
from app.core.models import Batch
from infra.install.apt import find_postgres_bin
from infra.process import ServerProcess
from infra.service import run
from storage.postgres.migrator import migrate, require_current
from storage.stores import Stores
from tests.integration.security.conftest import Certificates, free_port, server_user
from tests.rows import prop

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

_HBA = "hostssl all all 127.0.0.1/32 scram-sha-256 clientcert=verify-ca\n"


@pytest.fixture(scope="module")
def dsn(scratch: Path, certificates: Certificates) -> Iterator[str]:
    """Without parameters, so that it is refused."""
    binaries = find_postgres_bin()
    assert binaries is not None
    user, port = server_user(), free_port()
    home = scratch / "postgres"
    home.mkdir(mode=0o755)
    data = home / "data"
    password = home / "password"
    password.write_text("test")
    own = home / "server.key"
    shutil.copy(certificates.key("server"), own)
    own.chmod(0o600)
    if user is not None:
        for path in (home, password, own):
            shutil.chown(path, user, user)
    run(
        [
            str(binaries / "initdb"),
            *("-D", str(data), "-U", "profile", f"--pwfile={password}", "--auth=scram-sha-256"),
            *("--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions"),
        ],
        purpose="Making a PostgreSQL for tests",
        user=user,
        cwd=home,
    )
    (data / "pg_hba.conf").write_text(_HBA)
    with (data / "postgresql.conf").open("a") as conf:
        conf.write(
            f"port = {port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = ''\nfsync = off\n"
            f"wal_level = logical\nshared_buffers = 16MB\nssl = on\n"
            f"ssl_cert_file = '{certificates.certificate('server')}'\n"
            f"ssl_key_file = '{own}'\nssl_ca_file = '{certificates.ca}'\n"
        )
    process = ServerProcess(name="postgres", directory=home, port=port, user=user, stop_signal=signal.SIGINT)
    process.start([str(binaries / "postgres"), "-D", str(data)])
    deadline = time.monotonic() + 60
    while "database system is ready" not in process.log_tail():
        assert time.monotonic() < deadline, process.log_tail()
        time.sleep(0.1)
    yield f"postgresql://profile:test@127.0.0.1:{port}/postgres"
    process.stop(20)


def secured(dsn: str, certificates: Certificates, ca: Path | None = None, mode: str = "verify-full") -> str:
    return (
        f"{dsn}?sslmode={mode}&sslrootcert={ca or certificates.ca}"
        f"&sslcert={certificates.certificate('client')}&sslkey={certificates.key('client')}"
    )


async def test_migrations_and_stores_come_by_tls(dsn: str, certificates: Certificates) -> None:
    told = secured(dsn, certificates)
    assert await migrate(told)
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
    dsn: str, certificates: Certificates, mode: str, told: str
) -> None:
    wrong = {
        "disable": f"{dsn}?sslmode=disable",
        "stranger": secured(dsn, certificates, certificates.stranger),
        "no certificate": f"{dsn}?sslmode=verify-full&sslrootcert={certificates.ca}",
        "no file": secured(dsn, certificates, Path("/nowhere.crt")),
    }[mode]
    with pytest.raises(ProfileError, match=told) as refused:
        await migrate(wrong)
    assert ":test@" not in str(refused.value)
    await asyncio.sleep(0.5)  # the driver lets go of a refused connection in later turns of the event loop
