"""The way back after a lost slot: a new slot, and then what was missed, from a comparison with the database.

The order is what makes it sound. The old connector has ended and all that it brought is published; then the new slot
is made, then the caches are emptied, then the database is read and compared with what was published, and only then
does the new connector begin, at the slot's position. Whatever commits after the slot was made comes from the slot,
after the events of the comparison. A commit that both tell comes twice, and the later telling ends with the truth.

What was published is known by its notes and by the events that the topic still holds (cdc/recovery/known.py).
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from app.config.processes import publisher_groups
from app.config.settings import Settings
from app.core.dates import parse, to_text
from app.core.errors import FatalError, TransientError
from app.core.records import PublishedNote
from app.kafka.reading import unread
from app.ports.capture import ConnectorPosition, ReplicationSlots
from app.ports.erasure import ErasureRegister
from app.ports.events import EventSink, NoteRegister
from app.ports.snapshots import GraphSnapshots
from cdc.connector.client import ConnectClient
from cdc.connector.config import RECOVERY_KEY, config_of
from cdc.recovery.comparison import Differences
from cdc.recovery.known import known_to_consumers

if TYPE_CHECKING:
    from app.core.records import OutgoingEvent

logger = logging.getLogger(__name__)

# Before the last position that is known: the times of commits follow their order only nearly.
MARGIN: Final = timedelta(minutes=2)
_EVERYTHING: Final = "everything"
# Where the slot is there and the position is not, only this mode begins at the slot.
_AT_THE_SLOT: Final = {"snapshot.mode": "no_data"}
_BATCH: Final = 1_000
_POLL_S: Final = 0.5


@dataclass(kw_only=True)
class Recovery:
    """One recovery. It may be repeated after any failure: what it began is remembered in the connector."""

    settings: Settings
    connect: ConnectClient
    slots: ReplicationSlots
    snapshots: GraphSnapshots
    erasures: ErasureRegister
    notes: NoteRegister
    drop_caches: Callable[[], Awaitable[bool]]
    events: EventSink
    wait_s: float = 120.0
    published: Counter[str] = field(default_factory=Counter)

    async def run(self, *, since: datetime | None = None, everything: bool = False) -> Counter[str]:
        """Recover and return how many events of each type were published; the connector runs then.

        Rows that were written at or after `since` are told again, all with `everything`. Without either it is the time
        of the last position that the connector stored, less two minutes, and everything where there is none.
        Raises TransientError or FatalError.
        """
        name = self.settings.connector_name
        since = await self._begin(name, since, everything=everything)
        await self._until_published()
        await self._until_true("the slot's end", lambda: self._drop_slot(self.settings.cdc_slot))
        await self.connect.forget_position(name)
        await self.slots.create(self.settings.cdc_slot)
        await self._until_true("Redis", self.drop_caches)
        await self._compare(since, partly=everything)
        await self._go_on(name)
        return self.published

    async def _begin(self, name: str, since: datetime | None, *, everything: bool) -> datetime | None:
        """Stop the connector, which is made where it is gone; return since when changes count as missed."""
        if await self.connect.state(name) is None:
            # Without a note of a recovery: a position of before may be there still, and tells since when.
            await self.connect.create_stopped(name, config_of(self.settings) | _AT_THE_SLOT)
        else:
            await self.connect.stop(name)
        await self.connect.wait_for(name, "STOPPED")
        begun = (await self.connect.config(name) or {}).get(RECOVERY_KEY)
        if not everything and since is None:
            since = _since(begun, await self.connect.position(name))
        note = _EVERYTHING if since is None else to_text(since)
        await self.connect.apply(name, self._unfinished(note))
        logger.info("The connector is stopped; rows written since %s are told again.", note)
        return since

    async def _until_published(self) -> None:
        """Return when a cdc worker has published all that the old connector brought."""
        topic, publishers = self.settings.topics.cdc, publisher_groups(self.settings)
        deadline = time.monotonic() + self.wait_s
        while left := await unread(self.settings.kafka, topic, publishers):
            if time.monotonic() > deadline:
                raise FatalError(
                    f"{left} changes of {topic} are not published yet: let a worker with the role cdc run, then "
                    "repeat this command."
                )
            await asyncio.sleep(_POLL_S)

    async def _drop_slot(self, slot: str) -> bool:
        try:
            await self.slots.drop(slot)
        except TransientError as error:
            # A stopped connector's session ends a moment later.
            logger.debug("%s", error)
            return False
        return True

    async def _until_true(self, what: str, attempt: Callable[[], Awaitable[bool]]) -> None:
        deadline = time.monotonic() + self.wait_s
        while not await attempt():
            if time.monotonic() > deadline:
                raise TransientError(f"Waited in vain for {what}: see to it, then repeat this command.")
            await asyncio.sleep(_POLL_S)

    async def _compare(self, since: datetime | None, *, partly: bool) -> None:
        known = await known_to_consumers(self.settings, self.notes, partly=partly)
        events: list[OutgoingEvent] = []
        notes: list[PublishedNote] = []
        async with self.snapshots.open(since=since) as reading:
            differences = Differences(
                reading=reading,
                published=known.view.living(),
                erasures=known.view.erasures,
                register=self.erasures,
                notes=known.notes,
            )
            async for step in differences.steps():
                if isinstance(step, PublishedNote):
                    notes.append(step)
                else:
                    self.published[step[0]] += 1
                    events.append(step[1])
                if len(events) + len(notes) >= _BATCH:
                    await self.events.publish(events, notes)
                    events, notes = [], []
        await self.events.publish(events, notes)
        await self.notes.note_complete(self.settings.topics.published)

    async def _go_on(self, name: str) -> None:
        await self.connect.apply(name, self._unfinished(_EVERYTHING))
        await self.connect.resume(name)
        await self.connect.wait_running(name)
        await self._until_true("a heartbeat", lambda: self._has_position(name))
        # With a position no mode takes a snapshot, so the settings' own may be told now.
        await self.connect.register(name, config_of(self.settings))

    def _unfinished(self, since: str) -> dict[str, str]:
        """The configuration until the end: whoever starts this connector by hand gets no snapshot of all tables."""
        return config_of(self.settings) | _AT_THE_SLOT | {RECOVERY_KEY: since}

    async def _has_position(self, name: str) -> bool:
        return await self.connect.position(name) is not None


def _since(begun: str | None, position: ConnectorPosition | None) -> datetime | None:
    if begun is not None:
        return None if begun == _EVERYTHING else parse(begun, field=RECOVERY_KEY)
    if position is None or position.committed_us is None:
        return None
    return datetime.fromtimestamp(position.committed_us / 1e6, UTC) - MARGIN
