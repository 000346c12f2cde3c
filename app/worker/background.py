"""What workers do all the while in the background: audit caches, merge placeholders."""

import asyncio
import logging
from typing import Final, NoReturn

from app.core.audit import GRACE_S, line_of
from app.core.errors import TransientError
from app.core.log_events import LogEvent
from app.observability import metrics
from app.ports.caching import Auditor
from app.ports.writing import PlaceholderMerger

logger = logging.getLogger(__name__)

SAMPLE: Final = 20  # of each level


class AuditWatch:
    """Counts what it finds and logs what is stale. Repairs nothing: what it counts should be looked at."""

    def __init__(self, auditor: Auditor, *, interval_s: float) -> None:
        self._auditor = auditor
        self._interval_s = interval_s
        self._failed = False

    async def run(self) -> NoReturn:
        """Audit until cancelled."""
        while True:
            await asyncio.sleep(self._interval_s)
            await self.audit()

    async def audit(self) -> None:
        """Audit once. Never raises; while the primary or the cache is away there is nothing to compare."""
        try:
            report = await self._auditor.audit(sample=SAMPLE, grace_s=GRACE_S)
        except TransientError as error:
            self._note_failure(str(error))
            return
        except Exception as error:  # noqa: BLE001 - reads don't depend on it; its message may quote a row
            self._note_failure(type(error).__name__)
            return
        self._failed = False
        for kind, count in report.checked.items():
            metrics.AUDIT_CHECKED.labels(kind).inc(count)
        for mismatch in report.mismatches:
            metrics.AUDIT_STALE.labels(mismatch.kind).inc()
            logger.warning("The cache is stale: %s", line_of(mismatch), extra=LogEvent.CACHE_STALE.extra)

    def _note_failure(self, reason: str) -> None:
        if not self._failed:
            logger.warning("The cache is not audited for now: %s", reason)
        self._failed = True


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
