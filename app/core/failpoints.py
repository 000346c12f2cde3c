"""Named places in the code at which a test can kill, stop or hold a real worker.

`PROFILE_HOOKS=before-copy:kill:3` kills the process at the third time that it passes `before-copy`; `hold` instead of
`kill` keeps it there for as long as the file of `PROFILE_HOOKS_HOLD` exists, and `holds` each third time. The log says
which were hit. Without the setting a hook is one comparison.
"""

import asyncio
import logging
import os
import re
import signal
from collections import Counter
from pathlib import Path
from typing import Final, Literal

from app.core.errors import FatalError

logger = logging.getLogger(__name__)

Hook = Literal[
    "after-ledger",  # the flush knows what was erased, and nothing is inserted
    "before-copy",  # what could win is known, and nothing is staged
    "between-entities-and-merge",  # new entities are inserted, nothing is merged or committed
    "after-commit",  # before caches are told
    "before-ack",  # caches were told or events published, offsets not acknowledged
    "before-publish",  # a window's domain events are made, and none is sent
    "mid-publish",  # the first half of them is acknowledged by the broker, and the other one is not sent
    "before-repeater-commit",  # caches took what CDC repeats, offsets not committed
    "between-position-and-data",  # a fill holds its leases and knows what it has to reach, and has not read it
    "between-pieces",  # a piece of a long deletion or merge is committed, and the next one has not begun
    "between-data-and-store",  # a fill has read, and nothing is stored
]
HOOKS: Final[frozenset[str]] = frozenset(Hook.__args__)  # type: ignore[attr-defined]
_ACTIONS: Final = ("kill", "hold", "holds")
_TIMES: Final = re.compile(r"[1-9]\d*", re.ASCII)
_POLL_S: Final = 0.01


class Hooks:
    """What the process does at each place. Nothing, by default."""

    def __init__(self, told: str = "", hold: Path | None = None) -> None:
        """Read `name:kill|hold|holds[:n],…`. Raises FatalError."""
        self._actions: dict[str, tuple[str, int]] = {}
        self._hold = hold
        self._passed: Counter[str] = Counter()
        for part in filter(None, told.split(",")):
            name, _, rest = part.partition(":")
            action, _, times = rest.partition(":")
            if name not in HOOKS or action not in _ACTIONS or not _TIMES.fullmatch(times or "1"):
                raise FatalError(f"PROFILE_HOOKS: {part} is not <name>:kill|hold|holds[:n].")
            self._actions[name] = action, int(times or 1)

    def waits_at(self, name: Hook) -> bool:
        """Whether anything is to be done at this place."""
        return name in self._actions

    async def reach(self, name: Hook) -> None:
        """Pass this place."""
        if self._actions:
            await self._act(name)

    async def _act(self, name: Hook) -> None:
        self._passed[name] += 1
        if name not in self._actions:
            return
        action, times = self._actions[name]
        passed = self._passed[name]
        if passed % times if action == "holds" else passed != times:
            return
        logger.warning("hook %s: %s", name, action)
        if action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        while self._hold is not None and self._hold.exists():  # noqa: ASYNC110 - another process removes it
            await asyncio.sleep(_POLL_S)


NO_HOOKS: Final = Hooks()
