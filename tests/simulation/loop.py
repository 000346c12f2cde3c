"""An event loop whose time jumps to whatever is due next."""

import asyncio
from datetime import UTC, datetime
from typing import Any


class VirtualLoop(asyncio.SelectorEventLoop):
    """Waits for nothing. Raises RuntimeError where nothing would ever happen."""

    def __init__(self) -> None:
        super().__init__()
        self._virtual_s = 0.0
        select = self._selector.select  # type: ignore[attr-defined]

        def jump(timeout: float | None) -> Any:
            if timeout is None:
                raise RuntimeError("Everybody waits for somebody else.")
            self._virtual_s += max(0.0, timeout)
            return select(0)

        self._selector.select = jump  # type: ignore[attr-defined]

    def time(self) -> float:
        return self._virtual_s


class LoopClock:
    """Implements app.core.clock.Clock by the running loop's time."""

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.epoch_s(), UTC)

    def epoch_s(self) -> float:
        return 1_700_000_000.0 + self.monotonic()
