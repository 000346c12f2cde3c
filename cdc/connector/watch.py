"""A cdc worker's eye on the slot and the connector: metrics, /readyz, and failed tasks that start again."""

import asyncio
import logging
import math
import re
from typing import Final, NoReturn

from app.core.attention import attended_timeout
from app.core.clock import Clock
from app.core.errors import ProfileError
from app.core.log_events import LogEvent
from app.observability import metrics
from app.ports.capture import ConnectorAdmin, ReplicationSlots
from app.ports.health import DependencyState
from cdc.connector.report import ConnectorReport, look

logger = logging.getLogger(__name__)

STATUSES: Final = ("reserved", "extended", "unreserved", "lost", "missing")
FIRST_PAUSE_S: Final = 10.0
LONGEST_PAUSE_S: Final = 300.0
_CHECK_TIMEOUT_S: Final = 1.5  # below that of /readyz


class ConnectorWatch:
    """Looks every `interval_s`. Never raises; what it can't see has no sample, and what it sees is logged once.

    A failed task is started again, first after 10 s and then after pauses that double up to 5 minutes; the pauses
    begin anew after it has run for the longest of them. It is left alone where changes are missing: a restart can't
    bring them, and Debezium must not go on behind a gap.
    """

    def __init__(
        self,
        *,
        name: str,
        slot_name: str,
        slots: ReplicationSlots,
        connect: ConnectorAdmin,
        clock: Clock,
        interval_s: float,
        max_lag_s: float,
        restart_failed: bool,
    ) -> None:
        self._name = name
        self._slot_name = slot_name
        self._slots = slots
        self._connect = connect
        self._clock = clock
        self._interval_s = interval_s
        self._max_lag_s = max_lag_s
        self._restart_failed = restart_failed
        self._told: str | None = None
        self._pause_s = FIRST_PAUSE_S
        self._failed_at: float | None = None
        self._started_at: float | None = None

    async def run(self) -> NoReturn:
        """Watch until cancelled."""
        while True:
            await self.watch()
            await asyncio.sleep(self._interval_s)

    async def watch(self) -> None:
        """Look once. Never raises."""
        try:
            report = await self._look()
        except Exception as error:  # noqa: BLE001 - watching must outlive whatever it sees
            self._unknown(str(error) if isinstance(error, ProfileError) else type(error).__name__)
            return
        self._measure(report)
        fault = report.slot_fault or report.connector_fault(max_lag_s=self._max_lag_s)
        self._tell(fault, logging.ERROR if report.missing_changes else logging.WARNING)
        await self._heal(report)

    async def check(self) -> list[DependencyState]:
        try:
            async with attended_timeout(_CHECK_TIMEOUT_S):
                report = await self._look()
        except (ProfileError, TimeoutError) as error:
            detail = str(error) or f"did not answer within {_CHECK_TIMEOUT_S:g} s"
            return [DependencyState(name="connector", ready=False, required=False, detail=detail)]
        return [self._slot_line(report), self._connector_line(report)]

    async def _look(self) -> ConnectorReport:
        return await look(
            name=self._name,
            slot_name=self._slot_name,
            slots=self._slots,
            connect=self._connect,
            clock=self._clock,
        )

    def _slot_line(self, report: ConnectorReport) -> DependencyState:
        fault, slot = report.slot_fault, report.slot
        detail = fault or (f"{slot.wal_status}, {slot.lag_bytes} bytes behind" if slot else "is not made yet")
        ready = fault is None and slot is not None
        return DependencyState(name="replication-slot", ready=ready, required=False, detail=detail)

    def _connector_line(self, report: ConnectorReport) -> DependencyState:
        fault = report.connector_fault(max_lag_s=self._max_lag_s)
        behind = "" if report.lag_s is None else f", {report.lag_s:.0f} s behind"
        return DependencyState(
            name="connector", ready=fault is None, required=False, detail=fault or f"runs{behind}"
        )

    def _measure(self, report: ConnectorReport) -> None:
        slot = report.slot
        retained = math.nan if slot is None or slot.retained_bytes is None else slot.retained_bytes
        safe = math.nan if slot is None else math.inf if slot.safe_bytes is None else slot.safe_bytes
        metrics.SLOT_LAG_BYTES.set(math.nan if slot is None else slot.lag_bytes)
        metrics.SLOT_RETAINED_BYTES.set(retained)
        metrics.SLOT_SAFE_BYTES.set(math.nan if slot is not None and slot.lost else safe)
        status = "missing" if slot is None else slot.wal_status
        for each in STATUSES:
            metrics.SLOT_STATUS.labels(each).set(each == status)
        metrics.CONNECTOR_PARTS.clear()
        if report.connector is not None:
            metrics.CONNECTOR_PARTS.labels("connector", report.connector.state.lower()).inc()
            for task in report.connector.tasks:
                metrics.CONNECTOR_PARTS.labels("task", task.state.lower()).inc()
        metrics.CONNECTOR_LAG.set(math.nan if report.lag_s is None else report.lag_s)

    def _unknown(self, reason: str) -> None:
        for gauge in (
            metrics.SLOT_LAG_BYTES,
            metrics.SLOT_RETAINED_BYTES,
            metrics.SLOT_SAFE_BYTES,
            metrics.CONNECTOR_LAG,
        ):
            gauge.set(math.nan)
        metrics.SLOT_STATUS.clear()
        metrics.CONNECTOR_PARTS.clear()
        self._tell(reason, logging.WARNING)

    def _tell(self, fault: str | None, level: int) -> None:
        kind = fault and re.sub(r"\d+", "", fault)  # its figures change all the time
        if kind != self._told:
            if fault is None:
                logger.info("Change data capture runs again.")
            else:
                logger.log(level, "%s", fault)
        self._told = kind

    async def _heal(self, report: ConnectorReport) -> None:
        now = self._clock.monotonic()
        state = report.connector
        if state is None or not state.failed:
            self._failed_at = None
            if self._started_at is not None and now - self._started_at >= LONGEST_PAUSE_S:
                self._pause_s, self._started_at = FIRST_PAUSE_S, None
            return
        if self._failed_at is None:
            self._failed_at = now
        if not self._restart_failed or report.missing_changes or now - self._failed_at < self._pause_s:
            return
        logger.warning(
            "The connector's failed tasks are started again: %s",
            state.cause,
            extra=LogEvent.CONNECTOR_RESTARTED.extra,
        )
        try:
            await self._connect.restart(self._name)
        except ProfileError as error:
            logger.warning("They could not be: %s", error, extra=LogEvent.CONNECTOR_RESTART_FAILED.extra)
            return
        metrics.CONNECTOR_RESTARTS.inc()
        self._started_at, self._failed_at = now, None
        self._pause_s = min(LONGEST_PAUSE_S, 2 * self._pause_s)
