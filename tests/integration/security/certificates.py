"""Certificates of the tests' own, and what their servers need beside."""

import os
import socket
from dataclasses import dataclass
from pathlib import Path

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


def openssl(*arguments: str) -> None:
    run(["openssl", *arguments], purpose="Making certificates for tests", timeout_s=60)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def server_user() -> str | None:
    """PostgreSQL refuses root."""
    return "postgres" if os.geteuid() == 0 else None
