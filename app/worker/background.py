"""What workers do all the while in the background: audit caches, merge placeholders."""

import asyncio
import logging
from typing import Final, NoReturn

from app.core.audit import GRACE_S, line_of
from app.core.failure_log import FailureLog
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
        self._failures = FailureLog(logger, "The cache is not audited for now: %s")

    async def run(self) -> NoReturn:
        """Audit until cancelled."""
        while True:
            await asyncio.sleep(self._interval_s)
            await self.audit()

    async def audit(self) -> None:
        """Audit once. Never raises; while the primary or the cache is away there is nothing to compare."""
        with self._failures.attempt():
            report = await self._auditor.audit(sample=SAMPLE, grace_s=GRACE_S)
            for kind, count in report.checked.items():
                metrics.AUDIT_CHECKED.labels(kind).inc(count)
            for mismatch in report.mismatches:
                metrics.AUDIT_STALE.labels(mismatch.kind).inc()
                logger.warning("The cache is stale: %s", line_of(mismatch), extra=LogEvent.CACHE_STALE.extra)


class PlaceholderWatch:
    """Merges until nothing is left, then rests. Several workers may do so; one at a time has something to do."""

    def __init__(self, merger: PlaceholderMerger, *, interval_s: float) -> None:
        self._merger = merger
        self._interval_s = interval_s
        self._failures = FailureLog(
            logger, "Placeholders are not merged for now: %s", event=LogEvent.MERGE_WAITS
        )
        # Asked when metrics are: a merge that hangs has no turn to say so.
        metrics.MERGES_WAITING.set_function(merger.waiting)
        metrics.MERGE_STILL.set_function(merger.still_s)

    async def run(self) -> NoReturn:
        """Merge until cancelled."""
        while True:
            await asyncio.sleep(self._interval_s)
            await self.merge()

    async def merge(self) -> None:
        """Merge what can be merged now. Never raises; the next round tries again."""
        with self._failures.attempt():
            while merged := await self._merger.merge():
                logger.info("%d placeholders were merged into the entities of their references", merged)
