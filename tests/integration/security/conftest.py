"""Servers of the tests' own that ask for certificates and passwords, in a directory that goes away."""

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.service import run


@dataclass(frozen=True)
class Certificates:
    """An authority, a server's certificate for 127.0.0.1, a client's, and an authority that nobody uses. PEM."""

    directory: Path

    @property
    def ca(self) -> Path:
        return self.directory / "ca.crt"

    @property
    def stranger(self) -> Path:
        return self.directory / "stranger.crt"

    def certificate(self, name: str) -> Path:
        return self.directory / f"{name}.crt"

    def key(self, name: str) -> Path:
        return self.directory / f"{name}.key"


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
        _openssl(
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
        _openssl(
            *("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}"),
            *("-keyout", str(found.key(name)), "-out", str(request)),
        )
        _openssl(
            *("x509", "-req", "-in", str(request), "-CA", str(found.ca), "-CAkey", str(found.key("ca"))),
            *("-CAcreateserial", "-days", "2", "-extfile", str(names), "-out", str(found.certificate(name))),
        )
    return found


def _openssl(*arguments: str) -> None:
    run(["openssl", *arguments], purpose="Making certificates for tests", timeout_s=60)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def server_user() -> str | None:
    """PostgreSQL refuses root."""
    return "postgres" if os.geteuid() == 0 else None
