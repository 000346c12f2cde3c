"""Servers that ask for certificates and passwords: Kafka, PostgreSQL and Redis."""

import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from app.config.kafka import Brokers, KafkaSecurity
from app.config.settings import Settings
from app.kafka.client import client_options
from infra.errors import NotReadyError
from infra.install.apt import find_postgres_bin
from infra.process import ServerProcess
from infra.service import run
from infra.services.kafka import KafkaService
from infra.settings import InfraSettings
from tests.integration.security.certificates import Certificates, free_port, server_user

_LOGIN = "org.apache.kafka.common.security.plain.PlainLoginModule required"
_USERS = 'username="broker" password="b" user_broker="b" user_profile="a-password";'


class SaslKafka(KafkaService):
    """The stack's broker with two listeners that ask who comes."""

    def __init__(self, settings: InfraSettings, certificates: Certificates, tls_port: int) -> None:
        super().__init__(settings)
        self._certificates = certificates
        self._tls_port = tls_port

    def configure(self) -> None:
        super().configure()
        found = self._certificates
        store = self._config.parent / "server.pem"
        store.write_text(found.key("server").read_text() + found.certificate("server").read_text())
        plain = f"SASL_PLAINTEXT://127.0.0.1:{self.settings.kafka_port}"
        tls = f"SASL_SSL://127.0.0.1:{self._tls_port}"
        controller = f"CONTROLLER://127.0.0.1:{self.settings.kafka_controller_port}"
        changed = {
            "listeners": f"{plain},{tls},{controller}",
            "advertised.listeners": f"{plain},{tls},{controller}",
            "inter.broker.listener.name": "SASL_PLAINTEXT",
            "listener.security.protocol.map": (
                "CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL"
            ),
        }
        lines = [
            line for line in self._config.read_text().splitlines() if line.partition("=")[0] not in changed
        ]
        lines += [f"{name}={value}" for name, value in changed.items()]
        lines += [
            "sasl.enabled.mechanisms=PLAIN",
            "sasl.mechanism.inter.broker.protocol=PLAIN",
            f"listener.name.sasl_plaintext.plain.sasl.jaas.config={_LOGIN} {_USERS}",
            f"listener.name.sasl_ssl.plain.sasl.jaas.config={_LOGIN} {_USERS}",
            "ssl.keystore.type=PEM",
            f"ssl.keystore.location={store}",
        ]
        self._config.write_text("\n".join(lines) + "\n")

    async def _describe(self) -> None:
        brokers = Brokers([self.settings.kafka_broker], security("SASL_PLAINTEXT"))
        client = AIOKafkaAdminClient(**client_options(brokers), request_timeout_ms=5_000)
        try:
            await client.start()
        except (KafkaError, OSError, TimeoutError) as error:
            raise NotReadyError(str(error)) from error
        finally:
            await client.close()


def security(
    protocol: str, certificates: Certificates | None = None, password: str = "a-password"
) -> KafkaSecurity:
    settings = Settings.model_validate(
        {
            "kafka_security_protocol": protocol,
            "kafka_sasl_username": "profile",
            "kafka_sasl_password": password,
            "kafka_ca_file": None if certificates is None else certificates.ca,
        }
    )
    return settings.kafka.security


@pytest.fixture(scope="session")
def kafka_ports(scratch: Path, certificates: Certificates) -> Iterator[tuple[int, int]]:
    """Of SASL in the clear, and over TLS."""
    settings = InfraSettings(
        data_root=scratch / "kafka",
        kafka_port=free_port(),
        kafka_controller_port=free_port(),
        kafka_heap_mb=256,
    )
    tls_port = free_port()
    service = SaslKafka(settings, certificates, tls_port)
    service.install()
    service.configure()
    service.start()
    try:
        service.wait_ready()
        yield settings.kafka_port, tls_port
    finally:
        service.stop()


_HBA = "hostssl all all 127.0.0.1/32 scram-sha-256 clientcert=verify-ca\n"


@pytest.fixture(scope="session")
def tls_dsn(scratch: Path, certificates: Certificates) -> Iterator[str]:
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


@pytest.fixture(scope="session")
def redis_port(scratch: Path, certificates: Certificates) -> Iterator[int]:
    home = scratch / "redis"
    home.mkdir()
    port = free_port()
    (home / "redis.conf").write_text(
        f"port 0\ntls-port {port}\nbind 127.0.0.1\ndir {home}\nsave ''\ncluster-enabled yes\ntls-cluster yes\n"
        f"cluster-announce-ip 127.0.0.1\ncluster-port {free_port()}\n"
        f"tls-cert-file {certificates.certificate('server')}\ntls-key-file {certificates.key('server')}\n"
        f"tls-ca-cert-file {certificates.ca}\ntls-auth-clients yes\n"
        "user default off\nuser profile on >a-password ~* &* +@all\n"
    )
    process = ServerProcess(name="redis", directory=home, port=port)
    process.start(["redis-server", str(home / "redis.conf")])
    cli = [
        *("redis-cli", "-p", str(port), "--tls", "--cacert", str(certificates.ca), "--no-auth-warning"),
        *("--cert", str(certificates.certificate("client")), "--key", str(certificates.key("client"))),
        *("--user", "profile", "--pass", "a-password"),
    ]
    deadline = time.monotonic() + 30
    while "Ready to accept" not in process.log_tail():
        assert time.monotonic() < deadline, process.log_tail()
        time.sleep(0.1)
    run([*cli, "cluster", "addslotsrange", "0", "16383"], purpose="Making a cluster of one")
    while "cluster_state:ok" not in run([*cli, "cluster", "info"], purpose="Asking the cluster"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    yield port
    process.stop(10)


def settings_of(port: int, certificates: Certificates, **changed: object) -> Settings:
    values = {
        "redis_nodes": [f"127.0.0.1:{port}"],
        "redis_tls": True,
        "redis_ca_file": certificates.ca,
        "redis_client_cert_file": certificates.certificate("client"),
        "redis_client_key_file": certificates.key("client"),
        "redis_username": "profile",
        "redis_password": "a-password",
    }
    return Settings.model_validate({**values, **changed})
