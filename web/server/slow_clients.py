"""What was written for a client that does not read it, and how long that may last.

aiohttp waits for room for as long as the connection lives, and a transport that is closed lives until all of it was
taken. So whoever asks and never reads would keep the answers, and the connection, for ever.
"""

import asyncio
import contextlib
import fcntl
import logging
import socket
import struct
import termios
from typing import Final

logger = logging.getLogger(__name__)

_LOOKS: Final = 4  # within the time in which something has to be taken


class Unread:
    """Cuts one connection off where its client takes nothing for `stall_s`, or has not taken all after `longest_s`.

    It is at most a quarter of `stall_s` late. Who reads slowly is waited for, and who stops is not.
    """

    __slots__ = ("_ends_at", "_idle", "_left", "_longest_s", "_look_s", "_loop", "_timer", "_transport")

    def __init__(
        self,
        transport: asyncio.Transport,
        loop: asyncio.AbstractEventLoop,
        *,
        stall_s: float,
        longest_s: float,
    ) -> None:
        self._transport = transport
        self._loop = loop
        self._look_s = stall_s / _LOOKS
        self._longest_s = longest_s
        self._timer: asyncio.TimerHandle | None = None
        self._ends_at = 0.0
        self._left: float = 0
        self._idle = 0

    def watch(self, ends_at: float | None = None) -> None:
        """Begin, where it was not begun; `ends_at` instead of after `longest_s`, on the loop's clock."""
        if self._timer is None:
            self._ends_at = self._loop.time() + self._longest_s if ends_at is None else ends_at
            # An answer in several pieces still grows: the first look tells nothing about the client.
            self._left, self._idle = float("inf"), 0
            self._timer = self._loop.call_later(self._look_s, self._look)

    def leave(self) -> None:
        """All was taken, or the connection is over."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _look(self) -> None:
        self._timer = None
        buffered = self._transport.get_write_buffer_size()
        if buffered == 0:
            return
        # The kernel asks for more once it has much room: it may hold megabytes, of which somebody reads.
        left = buffered + self._sent_and_not_taken()
        self._idle = 0 if left < self._left else self._idle + 1
        self._left = left
        if self._idle >= _LOOKS or self._loop.time() >= self._ends_at:
            logger.info("cut off a client that does not read its answers: %d bytes are left", left)
            self._abort()
            return
        self._timer = self._loop.call_later(self._look_s, self._look)

    def _sent_and_not_taken(self) -> int:
        sock = self._transport.get_extra_info("socket")
        try:
            return int(struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0" * 4))[0])
        except (OSError, AttributeError):  # no socket of TCP, or gone
            return 0

    def _abort(self) -> None:
        sock = self._transport.get_extra_info("socket")
        with contextlib.suppress(OSError, AttributeError):
            # Reset it, or the kernel would go on offering what it holds.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()
