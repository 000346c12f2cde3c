"""A worker that is started again as soon as it dies, to die at the next named place."""

import asyncio
import itertools
import re
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from app.config.settings import Settings
from tests.e2e.workers import Worker

_POLL_S: Final = 0.02
_HIT: Final = re.compile(r"hook ([\w-]+): (kill|hold)")


class Lives:
    """`hooks` are those of one life after the other, from the first again after the last."""

    def __init__(
        self,
        settings: Settings,
        logs: Path,
        hooks: Sequence[str],
        *,
        ready: str,
        died: Callable[[], None] = lambda: None,
        **overrides: str,
    ) -> None:
        self._settings = settings
        self._logs = logs
        self._hooks = hooks
        self._ready = ready
        self._died = died
        self._overrides = overrides
        self._stopping = False
        self.hits: Counter[str] = Counter()
        self.started = asyncio.Event()

    async def run(self) -> None:
        """Until `stop`. Fails where a worker ends in another way."""
        for life in itertools.count():
            log = self._logs.with_name(f"{self._logs.name}-{life}.log")
            hooks = self._hooks[life % len(self._hooks)]
            with Worker(self._settings, log, PROFILE_HOOKS=hooks, **self._overrides) as worker:
                while worker.process.poll() is None and not self._stopping:
                    if not self.started.is_set() and self._ready in worker.log:
                        self.started.set()
                    await asyncio.sleep(_POLL_S)
                if self._stopping:
                    with suppress(AssertionError):
                        await worker.terminate(within_s=15)
                hit = _HIT.findall(worker.log)
                self.hits.update(f"{name} {action}" for name, action in hit)
                if self._stopping:
                    return
                assert worker.process.returncode == -9, f"It ended:\n{worker.log[-3000:]}"
                assert any(action == "kill" for _, action in hit), (
                    f"It was not the hook:\n{worker.log[-3000:]}"
                )
                self._died()

    def stop(self) -> None:
        """Have `run` end the present life and return."""
        self._stopping = True
