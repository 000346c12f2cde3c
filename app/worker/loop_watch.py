"""How late the event loop is: a step that holds it keeps everybody else from their turn."""

import asyncio
import time
from collections.abc import Callable
from typing import Final, NoReturn

EVERY_S: Final = 0.1


class LoopWatch:
    """Sleeps, and tells by how much it woke too late."""

    def __init__(self, observe: Callable[[float], None], *, every_s: float = EVERY_S) -> None:
        self._observe = observe
        self._every_s = every_s

    async def run(self) -> NoReturn:
        """Look until cancelled."""
        while True:
            due = time.monotonic() + self._every_s  # the loop's own time stands still within one of its turns
            await asyncio.sleep(self._every_s)
            self._observe(max(0.0, time.monotonic() - due))
