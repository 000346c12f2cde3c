"""Deletes in pieces what erased entities left, in whichever worker has its turn."""

import asyncio
import logging
from functools import partial
from typing import Final, NoReturn

from app.config.processes import publisher_groups
from app.config.settings import Settings
from app.core.failure_log import FailureLog
from app.core.log_events import LogEvent
from app.kafka.event_backlog import EventBacklog
from app.observability import metrics
from app.ports.erasure import Deletions
from storage.stores import Stores
from storage.write.pace import WAIT_S

logger = logging.getLogger(__name__)

INTERVAL_S: Final = 5.0  # between looks for what another process began, or a crash left
_TURNS: Final = 4  # looks within a pause, for one whose turn it is not


class DeletionWatch:
    """Deletes until nothing is left, then rests until an erasure wakes it, or for so long."""

    def __init__(self, deletions: Deletions, *, interval_s: float = INTERVAL_S) -> None:
        self._deletions = deletions
        self._interval_s = interval_s
        self._failures = FailureLog(
            logger, "Rows of erased entities are not deleted for now: %s", event=LogEvent.DELETION_WAITS
        )
        self._waits = False

    async def run(self) -> NoReturn:
        """Delete until cancelled."""
        while True:
            await self.delete()
            await self._deletions.wanted(self._interval_s)

    async def delete(self) -> None:
        """Delete what there is. Never raises; the next round tries again."""
        with self._failures.attempt():
            while await self._is_due():
                done = await self._deletions.piece()
                await asyncio.sleep(self._deletions.pause_s / (1 if done else _TURNS))

    async def _is_due(self) -> bool:
        """Note how far the deletions are; whether there is anything to do now."""
        state = await self._deletions.under_way()
        metrics.DELETIONS.set(state.deletions)
        metrics.DELETION_ROWS_LEFT.set(state.rows_left)
        metrics.DELETION_STILL.set(state.still_s)
        if not state.slot_has_room and not self._waits:
            logger.warning(
                "Erased entities wait for the deletion of %d rows: the replication slot keeps half of the WAL that it "
                "may keep. It goes on when the connector has caught up.",
                state.rows_left,
                extra=LogEvent.DELETION_WAITS.extra,
            )
        self._waits = not state.slot_has_room
        return state.deletions > 0 and state.slot_has_room


def watch_deletions(settings: Settings, stores: Stores) -> DeletionWatch:
    """The watch of a worker with these stores, whose pieces wait for the domain events of others."""
    backlog = EventBacklog(
        settings.kafka, settings.topics.cdc, publisher_groups(settings), most=2 * settings.erasure_piece_rows
    )
    stores.pieces.others = partial(backlog.settled, wait_s=WAIT_S)
    return DeletionWatch(stores.deletions)
