"""Work that many may want at once and that is done once for all of them."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from app.core.errors import TransientError


class SharedAttempt:
    """At most one run of `work` at a time; who is cancelled while waiting takes it from nobody."""

    def __init__(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._work = work
        self._task: asyncio.Task[None] | None = None

    async def wait(self) -> None:
        """Join the attempt under way, or start one. Raises what it raises; TransientError where it is cancelled."""
        task = self.begin()
        await asyncio.wait([task])
        if task.cancelled():
            raise TransientError("The attempt was given up.")
        task.result()

    def begin(self) -> "asyncio.Task[None]":
        """The attempt under way, or a new one; nobody has to wait for it."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())
            self._task.add_done_callback(_noticed)
        return self._task

    def cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()


def _noticed(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.exception()  # nobody may be left to look at it
