"""How clients connect to Kafka: TLS and SASL, for aiokafka and for Faust.

Wherever the addresses of brokers are handed on, these options go with them.
"""

import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, overload

from app.core.network import tls_context

Protocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaSecurity:
    """What the brokers ask for. Files are PEM; without a CA the system's are trusted."""

    protocol: Protocol = "PLAINTEXT"
    mechanism: Mechanism = "PLAIN"
    username: str = ""
    password: str = ""
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None

    @property
    def uses_tls(self) -> bool:
        return self.protocol in ("SSL", "SASL_SSL")

    @property
    def uses_sasl(self) -> bool:
        return self.protocol in ("SASL_PLAINTEXT", "SASL_SSL")

    def tls(self) -> ssl.SSLContext | None:
        """The context of TLS, which checks the broker's certificate and name. Raises FatalError."""
        if not self.uses_tls:
            return None
        return tls_context("Kafka", self.ca_file, self.certificate_file, self.key_file)

    def __repr__(self) -> str:
        return f"KafkaSecurity({self.protocol})"  # and nothing of the password


PLAINTEXT: Final = KafkaSecurity()


class Brokers(Sequence[str]):
    """Addresses of brokers, and how to connect to them."""

    __slots__ = ("_addresses", "security")

    def __init__(self, addresses: Iterable[str], security: KafkaSecurity = PLAINTEXT) -> None:
        self._addresses = tuple(addresses)
        self.security = security

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        return self._addresses[index]

    def __len__(self) -> int:
        return len(self._addresses)
