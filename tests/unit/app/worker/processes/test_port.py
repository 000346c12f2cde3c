"""The port of several web processes is nobody else's."""

import socket

import pytest

from app.core.errors import FatalError
from app.worker.processes.port import reserved


def listening(port: int) -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind(("127.0.0.1", port))
    made.listen()
    return made


def test_a_free_port_is_chosen_once_and_taken_by_each() -> None:
    with reserved("127.0.0.1", 0, is_shared=False) as held:
        port = held.getsockname()[1]
        with listening(port), listening(port), socket.create_connection(("127.0.0.1", port)) as client:
            assert client.getpeername()[1] == port > 0  # a client meets one that listens


def test_a_port_that_another_program_shares_is_not_joined(unused_tcp_port: int) -> None:
    with listening(unused_tcp_port):
        with pytest.raises(FatalError, match="PROFILE_WEB_PORT"):
            reserved("127.0.0.1", unused_tcp_port, is_shared=False)
        reserved("127.0.0.1", unused_tcp_port, is_shared=True).close()
