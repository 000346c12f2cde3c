"""The listening sockets: many connections are accepted in one turn of the event loop, and none is lost at the end.

uvloop's own server accepts one connection in each turn. Under load a turn takes as long as a request of every client
does, so that a few hundred clients who come at once would wait for seconds until the last of them is let in.

Where several processes share a port, a listener leaves in three steps: no new handshake begins at it, what has begun is
accepted for a moment, and it closes with its queue empty (web.server.shared_port).
"""

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import Callable
from typing import Final

from app.core.log_events import LogEvent
from web.server.shared_port import drop_new_handshakes, kernel_hands_over

logger = logging.getLogger(__name__)

_BACKLOG: Final = 1024
_AT_A_TURN: Final = 256
_PAUSE_S: Final = 1.0
# For handshakes that are half done: a round trip over a network. Below the second after which a client sends its first
# packet again, so that it meets another listener then.
_SETTLE_S: Final = 0.25
# The process or the machine has no room; accepting again at once would fail again at once.
_FULL: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_NO_ROOM: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
)


class Listener:
    """Makes a protocol for each connection that comes."""

    def __init__(
        self,
        protocol: Callable[[], asyncio.Protocol],
        host: str,
        port: int,
        *,
        reuse_port: bool,
        has_room: Callable[[], bool] = lambda: True,
    ) -> None:
        """`port` 0 takes a free one. Where there is no room for one more connection it is answered 503, and closed."""
        self._protocol = protocol
        self._host = host
        self._port = port
        self._reuse_port = reuse_port
        self._has_room = has_room
        self._sockets: list[socket.socket] = []
        self._opening: set[asyncio.Task[object]] = set()

    @property
    def port(self) -> int:
        """The port that is listened on; before the start, the one that was asked for."""
        return int(self._sockets[0].getsockname()[1]) if self._sockets else self._port

    async def start(self) -> None:
        """Listen on every address of the host. Raises OSError where it can't, and listens nowhere then."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(
            self._host or None, self._port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        try:
            for family, kind, protocol, _, address in dict.fromkeys(found):
                self._sockets.append(self._bound(socket.socket(family, kind, protocol), address))
            # Not before all are bound: a shared port would give connections to one that is closed again.
            for each in self._sockets:
                each.listen(_BACKLOG)
        except OSError:
            self._close()
            raise
        for each in self._sockets:
            loop.add_reader(each, self._accept, each)

    def _bound(self, made: socket.socket, address: object) -> socket.socket:
        try:
            made.setblocking(False)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if self._reuse_port:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if made.family == socket.AF_INET6:
                # The host's IPv4 addresses have sockets of their own.
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            made.bind(address)  # type: ignore[arg-type]  # as getaddrinfo told it
        except OSError:
            made.close()
            raise
        return made

    def _accept(self, listening: socket.socket) -> bool:
        """Take what has come; false when there is no more, or no room."""
        for _ in range(_AT_A_TURN):
            try:
                connection, _ = listening.accept()
            except BlockingIOError:
                return False
            except (InterruptedError, ConnectionAbortedError):  # of this one; others may wait behind it
                continue
            except OSError as error:
                if error.errno not in _FULL:
                    raise
                self._pause(listening, error)
                return False
            connection.setblocking(False)
            if not self._has_room():
                _refuse(connection)
                continue
            opening = asyncio.ensure_future(self._open(connection))
            self._opening.add(opening)
            opening.add_done_callback(self._opening.discard)
        return True

    async def _open(self, connection: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(self._protocol, connection)
        except OSError:  # it is gone already
            connection.close()

    def _pause(self, listening: socket.socket, error: OSError) -> None:
        logger.error(
            "No connection can be accepted for now (%s): raise the limit of open files (ulimit -n).",
            error.strerror,
            extra=LogEvent.CONNECTIONS_REFUSED.extra,
        )
        loop = asyncio.get_running_loop()
        loop.remove_reader(listening)
        loop.call_later(_PAUSE_S, self._resume, listening)

    def _resume(self, listening: socket.socket) -> None:
        if listening in self._sockets:
            asyncio.get_running_loop().add_reader(listening, self._accept, listening)

    async def stop(self) -> None:
        """Close with nobody left in the queues; return when everybody who was there has a protocol. Idempotent.

        On a shared port nobody is reset: who connects meanwhile is given to another listener, if there is one, and
        waits for a second where the kernel does not hand over by itself.
        """
        try:
            if self._reuse_port and not kernel_hands_over():
                await self._let_handshakes_end()
        finally:
            self._leave()
        if self._opening:
            await asyncio.wait(self._opening)

    async def _let_handshakes_end(self) -> None:
        """Accept what has begun for a moment, while nothing new begins."""
        filtered = [drop_new_handshakes(each) for each in self._sockets]
        if any(filtered):
            await asyncio.sleep(_SETTLE_S)

    def _leave(self) -> None:
        """Accept all that wait, and close, in one step of the event loop."""
        loop = asyncio.get_running_loop()
        try:
            for each in self._sockets:
                loop.remove_reader(each)
                while self._accept(each):
                    pass
        finally:
            self._close()

    def _close(self) -> None:
        sockets, self._sockets = self._sockets, []
        for each in sockets:
            each.close()


def _refuse(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.send(_NO_ROOM)
    connection.close()
