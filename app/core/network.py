"""Who can reach a host's name, and the TLS of clients: a server's certificate and name are checked always."""

import ipaddress
import ssl
from pathlib import Path

from app.core.errors import FatalError


def is_loopback(host: str) -> bool:
    """Whether this machine alone reaches it. A name other than `localhost` may be anybody's."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def tls_context(
    whose: str, ca_file: Path | None, certificate_file: Path | None, key_file: Path | None
) -> ssl.SSLContext:
    """A client's context that checks certificate and name. Raises FatalError naming the file that can't be used."""
    try:
        context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except OSError as error:  # ssl.SSLError is one
        raise FatalError(
            f"The CA file of {whose}, {ca_file}, can't be used: {type(error).__name__}."
        ) from error
    if certificate_file is not None:
        try:
            context.load_cert_chain(certificate_file, key_file)
        except OSError as error:
            raise FatalError(
                f"The client certificate of {whose}, {certificate_file}, or its key can't be used: "
                f"{type(error).__name__}."
            ) from error
    return context
