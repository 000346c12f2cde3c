"""One TCP connection to a Redis node, shared by everything that this process asks of the node.

Commands are written as they come, without waiting for the replies of those before them, and replies are matched in
order. What was asked within one turn of the event loop goes out in one write. A connection that failed once is
closed, since its replies could no longer be told apart; storage.redis.node makes the next one.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final, cast

from hiredis import ProtocolError, Reader, ReplyError, pack_command

from app.core.attention import Attention
from app.core.errors import BusyError, TransientError

Command = tuple[bytes | str | int, ...]
Outcome = list[object] | TransientError

MAX_WAITING: Final = 20_000  # commands: about 0.2 s of what a node can do
MAX_UNSENT_BYTES: Final = 4 * 2**20
PER_COMMAND_S: Final = 0.0002  # a batch of thousands takes this process itself a while
_GRACE_S: Final = 0.02
_MORE: Final = object()


class _Batch:
    """Commands sent together, and their replies so far."""

    __slots__ = ("deadline", "error_code", "future", "replies", "size")

    def __init__(self, size: int, deadline: float, future: asyncio.Future[Outcome]) -> None:
        self.size = size
        self.deadline = deadline
        self.future = future
        self.replies: list[object] = []
        self.error_code: str | None = None

    def finish(self, outcome: Outcome) -> None:
        if not self.future.done():  # its caller may have been cancelled
            self.future.set_result(outcome)


class RedisConnection(asyncio.Protocol):
    """Bound to one event loop, which sets TCP_NODELAY. A node silent for `timeout_s` is not waited for; what this loop
    is itself late does not count (app.core.attention).
    """

    def __init__(self, *, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        self._attention = Attention(self._loop, limit_s=timeout_s)
        self._transport: asyncio.Transport | None = None
        self._reader = Reader(notEnoughData=_MORE)
        self._batches: deque[_Batch] = deque()
        self._waiting = 0
        self._unsent: list[bytes] = []
        self._paused = False
        self._heard = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._overdue = False

    @property
    def is_open(self) -> bool:
        return self._transport is not None

    def send(self, commands: Sequence[Command], *, is_urgent: bool = False) -> asyncio.Future[Outcome]:
        """Ask for at least one command; the future holds the replies in order, or why there are none.

        It never holds an exception, so it may be abandoned. Nothing is sent where it raises: TransientError, the
        connection is closed; BusyError, too much is waiting already, which does not keep out what `is_urgent`. That is
        small, and what waits is bounded in time.
        """
        if self._transport is None:
            raise TransientError("The connection to Redis is closed.")
        if (self._paused or self._waiting >= MAX_WAITING) and not is_urgent:
            raise BusyError("Too many commands are waiting for Redis.")
        now = self._attention.now()
        if not self._batches:
            self._heard = now
        data = b"".join(map(pack_command, commands))  # type: ignore[arg-type]  # its stub knows tuples of one
        self._waiting += len(commands)
        deadline = now + self._timeout_s + PER_COMMAND_S * self._waiting
        batch = _Batch(len(commands), deadline, self._loop.create_future())
        self._batches.append(batch)
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(data)
        if self._timer is None:
            self._timer = self._loop.call_later(self._attention.tick_s, self._watch)
        return batch.future

    async def ask(self, commands: Sequence[Command]) -> list[object]:
        """Send, and raise what the outcome says."""
        outcome = await self.send(commands)
        if isinstance(outcome, TransientError):
            raise outcome
        return outcome

    def _flush(self) -> None:
        if self._transport is not None:
            self._transport.write(b"".join(self._unsent))
        self._unsent.clear()

    def _watch(self) -> None:
        """Close the connection when the node is silent, or slower than the oldest batch allows."""
        self._timer = None
        was_overdue, self._overdue = self._overdue, False
        if not self._batches:
            return
        now = self._attention.now()
        due = min(self._heard + self._timeout_s, self._batches[0].deadline)
        if now < due:
            self._timer = self._loop.call_later(min(due - now, self._attention.tick_s), self._watch)
        elif not was_overdue:
            # What has come in this turn lies unread: the loop gets to it first.
            self._overdue = True
            self._timer = self._loop.call_later(_GRACE_S, self._watch)
        else:
            self.close("Redis did not answer in time.")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's has the methods, not the base class
        self._transport.set_write_buffer_limits(high=MAX_UNSENT_BYTES)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False

    def data_received(self, data: bytes) -> None:
        self._heard = self._attention.now()
        self._reader.feed(data)
        try:
            while self._batches:
                if not self._read(self._batches[0]):
                    return
                self._finish(self._batches.popleft())
            if self._transport is not None and self._reader.gets() is not _MORE:
                self.close("Redis sent a reply that nobody asked for.")
        except ProtocolError:
            self.close("Redis sent what is not its protocol.")

    def _read(self, batch: _Batch) -> bool:
        """Take what has come of a batch; true when that is all of it."""
        gets = self._reader.gets
        append = batch.replies.append
        for _ in range(batch.size - len(batch.replies)):
            reply = gets()
            if reply is _MORE:
                return False
            if isinstance(reply, ReplyError):
                # The code alone, such as MOVED: the rest of the text may quote a key.
                batch.error_code = str(reply).partition(" ")[0]
            append(reply)
        return True

    def _finish(self, batch: _Batch) -> None:
        self._waiting -= batch.size
        if batch.error_code is None:
            batch.finish(batch.replies)
            return
        batch.finish(TransientError(f"Redis answers {batch.error_code}."))
        if batch.error_code == "NOSCRIPT":
            self.close("Redis has lost its scripts.")  # the next connection brings them

    def connection_lost(self, exc: Exception | None) -> None:
        self.close("The connection to Redis was lost.")

    def close(self, reason: str) -> None:
        """Close at once; all that waits fails with the reason."""
        if self._transport is None:
            return
        self._transport.abort()
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        batches, self._batches = self._batches, deque()
        for batch in batches:
            batch.finish(TransientError(reason))
