"""The port of several web processes: each listens on it by itself, and the kernel spreads connections."""

import socket
from typing import Final

from app.core.errors import FatalError

_ANY: Final = 0


def reserved(host: str, port: int, *, is_shared: bool) -> socket.socket:
    """A socket that holds the port and never listens; its port, where 0 was asked for, is a free one.

    Without `is_shared` nobody else may listen there: sharing would give our clients to another program. Raises
    FatalError.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        if not is_shared and port != _ANY:
            with socket.socket(family, kind, protocol) as alone:
                alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                alone.bind(address)
                alone.listen(1)
        held = socket.socket(family, kind, protocol)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(address)
    except OSError as error:
        raise FatalError(
            f"The web server can't listen on {host}:{port} ({error.strerror}): stop what holds the port, or set "
            "PROFILE_WEB_PORT to a free one."
        ) from error
    return held
