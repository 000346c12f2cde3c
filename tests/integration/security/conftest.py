"""Servers of the tests' own that ask for certificates and passwords, in a directory that goes away."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.security.certificates import Certificates, openssl
from tests.integration.security.servers import kafka_ports, redis_port, tls_dsn

__all__ = ["kafka_ports", "redis_port", "tls_dsn"]


@pytest.fixture(scope="session")
def scratch() -> Iterator[Path]:
    """Readable by the user postgres, too, which pytest's own is not."""
    made = Path(tempfile.mkdtemp(prefix="user-profile-tls-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="session")
def certificates(scratch: Path) -> Certificates:
    directory = scratch / "certificates"
    directory.mkdir(mode=0o755)
    found = Certificates(directory)
    for name in ("ca", "stranger"):
        openssl(
            *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN=test {name}"),
            *(
                "-addext",
                "basicConstraints=critical,CA:TRUE",
                "-addext",
                "keyUsage=critical,keyCertSign,cRLSign",
            ),
            *("-keyout", str(found.key(name)), "-out", str(found.certificate(name))),
        )
    for name in ("server", "client"):
        request, names = directory / f"{name}.csr", directory / f"{name}.ext"
        names.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\nauthorityKeyIdentifier=keyid\n")
        openssl(
            *("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}"),
            *("-keyout", str(found.key(name)), "-out", str(request)),
        )
        openssl(
            *("x509", "-req", "-in", str(request), "-CA", str(found.ca), "-CAkey", str(found.key("ca"))),
            *("-CAcreateserial", "-days", "2", "-extfile", str(names), "-out", str(found.certificate(name))),
        )
    return found
