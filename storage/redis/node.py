"""One node of the Redis Cluster: connected when it is first asked, and again after a failure.

While it can't be connected, nobody waits for it: a node that hangs would cost each request its time limit, however
well the others are. Attempts go on behind the calls that fail.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from app.core.attention import attended_timeout
from app.core.clock import Clock
from app.core.errors import BusyError, TransientError
from app.core.log_events import LogEvent
from app.observability.metrics import READ_FAILURES
from storage.breaker import Breaker
from storage.redis.connection import Command, Outcome, RedisConnection
from storage.redis.script import RedisScript
from storage.redis.security import NONE, RedisSecurity
from storage.redis.shared_connect import SharedAttempt

logger = logging.getLogger(__name__)

Address = tuple[str, int]

RETRY_S: Final = 0.1  # between attempts to connect
COOLDOWN_S: Final = 1.0
FAILURES: Final = 3  # in a row: one alone may be a moment in which this process itself was busy


class RedisNode:
    """Raises TransientError alone. Nothing is asked twice: what got no reply may have been done."""

    def __init__(
        self,
        address: Address,
        scripts: Sequence[RedisScript],
        clock: Clock,
        *,
        timeout_s: float,
        security: RedisSecurity = NONE,
    ) -> None:
        self._security = security
        self.address = address
        self.breaker = Breaker(clock, cooldown_s=COOLDOWN_S, threshold=FAILURES)
        self._scripts = scripts
        self._timeout_s = timeout_s
        self._connection: RedisConnection | None = None
        self._attempt = SharedAttempt(self._connect)
        self._failed_at: float | None = None  # when the latest attempt to connect did
        self._is_closed = False

    @property
    def is_connected(self) -> bool:
        return self._connection is not None and self._connection.is_open

    async def connect(self) -> None:
        """Connect where there is no connection, within `timeout_s` for each step; at once where that failed a moment
        ago.
        """
        if self._is_closed:
            raise TransientError("This node of the Redis Cluster is no longer used.")
        if self.is_connected:
            return
        if self._failed_at is None:
            await self._attempt.wait()
            return
        if asyncio.get_running_loop().time() >= self._failed_at + RETRY_S:
            self._attempt.begin()
        raise TransientError("Redis could not be reached a moment ago.")

    async def _connect(self) -> None:
        security = self._security
        connection = RedisConnection(timeout_s=self._timeout_s)
        try:
            async with attended_timeout(self._timeout_s):
                await asyncio.get_running_loop().create_connection(
                    lambda: connection, *self.address, ssl=security.tls
                )
            if security.auth is not None:
                await connection.ask([security.auth])
            if self._scripts:
                await connection.ask([script.load for script in self._scripts])
        except OSError as error:
            raise TransientError(f"Redis can't be reached: {type(error).__name__}.") from error
        else:
            self._connection = connection
        finally:
            is_new = self._connection is connection
            self._failed_at = None if is_new else asyncio.get_running_loop().time()
            if not is_new:
                connection.close("Redis could not be reached.")

    async def try_connect(self) -> TransientError | None:
        """As `connect`; returns why it failed."""
        try:
            await self.connect()
        except TransientError as error:
            return error
        return None

    def send(
        self, commands: Sequence[Command], *, is_urgent: bool = False
    ) -> asyncio.Future[Outcome] | TransientError:
        """RedisConnection.send, or why nothing was sent."""
        if self._connection is None:
            return TransientError("Redis is not connected.")
        try:
            return self._connection.send(commands, is_urgent=is_urgent)
        except TransientError as error:
            return error

    def note(self, outcome: Outcome) -> None:
        """Tell the breaker, but of what this process itself had no room for: that says nothing of the node."""
        if isinstance(outcome, BusyError):
            return
        was_closed = self.breaker.closed
        if not isinstance(outcome, TransientError):
            self.breaker.succeeded()
            if not was_closed:
                logger.info("The cache on port %d is used again.", self.address[1])
            return
        READ_FAILURES.add("redis")
        self.breaker.failed()
        if was_closed and not self.breaker.closed:
            logger.warning(
                "The cache on port %d is not used for now: %s",
                self.address[1],
                outcome,
                extra=LogEvent.CACHE_UNAVAILABLE.extra,
            )

    async def ask(self, commands: Sequence[Command]) -> list[object]:
        """Connect, send at least one command and return the replies in order."""
        await self.connect()
        assert self._connection is not None  # noqa: S101 — connected above
        return await self._connection.ask(commands)

    def close(self) -> None:
        """Close for good."""
        self._is_closed = True
        self._attempt.cancel()
        if self._connection is not None:
            self._connection.close("This node of the Redis Cluster is no longer used.")
