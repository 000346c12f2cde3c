"""How many changes wait to become domain events, for those whose long work makes many of them."""

import asyncio
import contextlib
import logging
from collections.abc import Container, Sequence
from typing import Final

from app.core.failure_log import FailureLog
from app.kafka.reading import unread

logger = logging.getLogger(__name__)

_POLL_S: Final = 0.5


class EventBacklog:
    """What the CDC topic holds that none of the groups has acknowledged that publish from it, one at a time."""

    def __init__(self, brokers: Sequence[str], topic: str, groups: Container[str], *, most: int) -> None:
        """`settled` waits for a backlog of `most` changes."""
        self._brokers = brokers
        self._topic = topic
        self._groups = groups
        self._most = most
        self._failures = FailureLog(logger, "It is not known how far domain events are: %s")

    async def settled(self, *, wait_s: float) -> None:
        """Return when the backlog is small, or can't be known, or after so long. Never raises."""
        with self._failures.attempt(), contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                while await self._unread() > self._most:  # noqa: ASYNC110 - others make it smaller
                    await asyncio.sleep(_POLL_S)

    async def _unread(self) -> int:
        return await unread(self._brokers, self._topic, self._groups)
