"""The merging of placeholders that a worker does all the while, at a low rate."""

import asyncio
import logging
from typing import NoReturn

from app.core.errors import TransientError
from app.ports import PlaceholderMerger

logger = logging.getLogger(__name__)


class PlaceholderWatch:
    """Merges until nothing is left, then rests. Several workers may do so; one at a time has something to do."""

    def __init__(self, merger: PlaceholderMerger, *, interval_s: float) -> None:
        self._merger = merger
        self._interval_s = interval_s
        self._failed = False

    async def run(self) -> NoReturn:
        """Merge until cancelled."""
        while True:
            await asyncio.sleep(self._interval_s)
            await self.merge()

    async def merge(self) -> None:
        """Merge what can be merged now. Never raises; the next round tries again."""
        try:
            while merged := await self._merger.merge():
                logger.info("%d placeholders were merged into the entities of their references", merged)
        except TransientError as error:
            self._note_failure(str(error))
        except Exception as error:  # noqa: BLE001 - nothing depends on it; its message may quote a row
            self._note_failure(type(error).__name__)
        else:
            self._failed = False

    def _note_failure(self, reason: str) -> None:
        if not self._failed:
            logger.warning("Placeholders are not merged for now: %s", reason)
        self._failed = True
