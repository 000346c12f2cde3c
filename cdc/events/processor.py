"""The CDC agent's work: windows of changes become domain events."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from app.core.clock import Clock, SystemClock
from app.core.dates import from_epoch_ms
from app.core.errors import InvalidError
from app.core.failpoints import NO_HOOKS, Hooks
from app.core.log_events import LogEvent
from app.core.models import EntityKey
from app.core.pieces import Pieces
from app.core.records import DeadLetter, OutgoingEvent, PublishedNote, Record, size_of
from app.dead_letters.letter import dead_letter
from app.dead_letters.policy import DeadLetterPolicy
from app.observability import metrics as app_metrics
from app.ports.caching import CommitLog
from app.ports.dead_letters import DeadLetterSink
from app.ports.erasure import PublishFence
from app.ports.events import EventSink
from app.ports.graph import EntityDirectory
from cdc import metrics
from cdc.envelope import Change, EdgeRow, EntityChange, Skipped, TemporalRow, decode, erased_entity
from cdc.events.business_keys import Continuity, Names
from cdc.events.events import events_of, subjects_of, targets_of
from cdc.events.key_cache import References
from cdc.events.notes import Notes, notes_of

logger = logging.getLogger(__name__)


class CdcProcessor:
    """A RecordProcessor: a window of the CDC topic becomes domain events.

    At least once, in the order of the window; so, as all rows of one entity share a partition there, in the
    order of its commits for each entity. An event that is published again bears the same idempotency key.
    Returns when the broker has acknowledged every event and every dead letter. A record that can't be read is
    dead-lettered with its envelope and does not stop the others. Tombstones, truncates, snapshot reads
    (unless `publish_snapshot`) and changes of which no event speaks are counted and passed over.

    An entity is named as it was at that change, as far as the stream tells it (see cdc.events.business_keys), else as
    it is now. One that the directory does not know is taken for gone; with a `commit_log` only after the change that
    names it is visible on the primary.

    With a `fence`, no event that stands after an `entity_erased` names whom that is about, in whichever partition: the
    target of a relationship that is erased by then is named as one that is gone. What is in the entity's own partition
    is in order there. Nor does a note that is written after the erasure was told: the fence holds for all whom a
    window's notes are about.

    Beside the events it publishes notes of which things consumers know by them (see cdc.events.notes).

    An event larger than `max_event_bytes` is a dead letter, since the broker would refuse it each time.
    Raises TransientError (the same records come again) or, by `policy`, FatalError where dead letters are
    too many (they stand in their topic already).
    """

    def __init__(
        self,
        *,
        directory: EntityDirectory,
        events: EventSink,
        dead_letters: DeadLetterSink,
        publish_snapshot: bool = False,
        commit_log: CommitLog | None = None,
        fence: PublishFence | None = None,
        policy: DeadLetterPolicy | None = None,
        clock: Clock | None = None,
        references_capacity: int = 200_000,
        visible_timeout_s: float = 10.0,
        max_event_bytes: int = 15 * 1024 * 1024,
        hooks: Hooks = NO_HOOKS,
    ) -> None:
        self._references = References(directory, capacity=references_capacity)
        self._continuity = Continuity()
        self._events = events
        self._dead_letters = dead_letters
        self._publish_snapshot = publish_snapshot
        self._commit_log = commit_log
        self._fence = fence
        self._policy = policy
        self._clock = clock or SystemClock()
        self._visible_timeout_s = visible_timeout_s
        self._max_event_bytes = max_event_bytes
        self._hooks = hooks

    async def process(self, records: Sequence[Record]) -> None:
        if not self._continuity.goes_on(records):
            self._references.forget_placeholders()
        window = _Window(records)
        async for piece in Pieces(records, size=size_of):
            for record in piece:
                self._read(record, window)
        keys = await self._keys(window)
        if self._fence is None:
            await self._tell(window, keys)
            return
        if window.erasures:
            await self._fence_off(window.erasures, self._fence)
        async with self._fence.publishing(window.targets | window.subjects | window.own) as window.erased:
            await self._tell(window, keys)

    async def _tell(self, window: "_Window", keys: dict[int, EntityKey]) -> None:
        records = window.records
        async for piece in Pieces(window.changes, size=lambda each: size_of(records[each[0]])):
            for position, change in piece:
                window.names.follow(change, keys)
                self._transform(position, change, keys, window)
        await self._references.remember({number: keys[number] for number in window.names.at_first})
        await self._publish(window)

    def _read(self, record: Record, window: "_Window") -> None:
        position = window.read
        window.read += 1
        try:
            change = decode(record.value)
        except InvalidError as error:
            window.refuse(position, error)
            return
        if isinstance(change, Skipped):
            window.skipped[change.reason] += 1
            return
        window.names.look_ahead(change)
        window.changes.append((position, change))
        if self._passes_over(change):
            window.skipped["snapshot"] += 1
        else:
            window.name(change)

    async def _fence_off(self, xids: set[int], fence: PublishFence) -> None:
        """Return when no process will publish a name that it took for one of somebody who is there."""
        if self._commit_log is not None:
            # Decoded, an erasure may not be visible yet to those who ask the ledger.
            await self._commit_log.visible_position(sorted(xids), timeout_s=self._visible_timeout_s)
        await fence.wait_for_publishers()

    def _passes_over(self, change: Change) -> bool:
        return change.operation == "r" and not self._publish_snapshot

    async def _keys(self, window: "_Window") -> dict[int, EntityKey]:
        """The business keys before the window's first change."""
        ids = window.subjects | window.targets
        keys = await self._references.resolve(ids, told=window.names.at_first, subjects=window.subjects)
        missing = ids - keys.keys()
        if missing and self._commit_log is not None:
            # A commit can be decoded before it is visible: who is missing then is new, not gone.
            xids = {
                change.source.tx_id
                for _, change in window.changes
                if change.operation != "r"
                and not missing.isdisjoint(subjects_of(change) | targets_of(change))
            }
            await self._commit_log.visible_position(sorted(xids), timeout_s=self._visible_timeout_s)
            keys |= await self._references.resolve(missing, told={})
        return keys

    def _transform(
        self, position: int, change: Change, keys: dict[int, EntityKey], window: "_Window"
    ) -> None:
        if self._passes_over(change):
            return
        named = _without_erased(change, keys, window.erased) if window.erased else keys
        try:
            events = events_of(change, named)
            for _, event in events:
                self._check_size(event)
        except InvalidError as error:
            window.refuse(position, error)
            return
        if not events:
            window.skipped["no-change"] += 1
        for kind, event in events:
            window.kinds[kind] += 1
            window.events.append(event)
        if events:
            window.notes |= notes_of(change, named, window.erased)
        window.newest_ms = max(window.newest_ms, change.source.ts_ms)

    def _check_size(self, event: OutgoingEvent) -> None:
        if len(event.value) > self._max_event_bytes:
            raise InvalidError(
                f"The domain event is larger than {self._max_event_bytes} bytes.", code="event-too-large"
            )

    async def _publish(self, window: "_Window") -> None:
        await self._hooks.reach("before-publish")
        if window.refused:
            logger.warning(
                "Dead-lettering %d of %d changes.",
                len(window.refused),
                len(window.records),
                extra=LogEvent.CHANGES_DEAD_LETTERED.extra,
            )
            await self._dead_letters.publish(window.letters())
        if window.events:
            await self._events.publish(
                window.events, [PublishedNote(key, value) for key, value in window.notes.items()]
            )
        self._count(window)
        if self._policy is not None:
            example = next((str(error) for error in window.refused.values()), "")
            outcomes = [position in window.refused for position in range(len(window.records))]
            self._policy.judge(outcomes, example=example)

    def _count(self, window: "_Window") -> None:
        for kind, count in window.kinds.items():
            metrics.EVENTS.labels(kind).inc(count)
        removed = sum(value is None for value in window.notes.values())
        metrics.NOTES.labels("removed").inc(removed)
        metrics.NOTES.labels("written").inc(len(window.notes) - removed)
        for reason, count in window.skipped.items():
            metrics.SKIPPED.labels(reason).inc(count)
        for position, error in window.refused.items():
            app_metrics.DEAD_LETTERS.labels(window.records[position].topic, error.code).inc()
        if window.newest_ms:
            metrics.LAG.set(age_s(window.newest_ms, self._clock.now()))


def _without_erased(
    change: Change, keys: dict[int, EntityKey], erased: frozenset[int]
) -> Mapping[int, EntityKey]:
    """The names that an event may bear: not that of a target whose `entity_erased` may be published already."""
    if not (hidden := erased & targets_of(change)):
        return keys
    named = subjects_of(change) | targets_of(change)
    return {number: keys[number] for number in named - hidden if number in keys}


class _Window:
    """What became of one window's records so far."""

    def __init__(self, records: Sequence[Record]) -> None:
        self.records = records
        self.read = 0
        self.names = Names()
        self.subjects: set[int] = set()  # named by their ids, in their own partitions
        self.targets: set[int] = set()  # named in other partitions than their own
        self.own: set[int] = set()  # whose own rows changed
        self.erased: frozenset[int] = frozenset()  # those of all three that are erased
        self.erasures: set[int] = set()  # the transactions that erased somebody
        self.changes: list[tuple[int, Change]] = []  # with their positions in the window
        self.refused: dict[int, InvalidError] = {}
        self.events: list[OutgoingEvent] = []
        self.notes: Notes = {}  # the newest of each key
        self.kinds: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()
        self.newest_ms = 0

    def name(self, change: Change) -> None:
        """Note whom the events and notes of a change are about."""
        for row in (change.before, change.after):
            if isinstance(row, EdgeRow):
                self.subjects.add(row.left_entity_id)
                if row.right_entity_id != row.left_entity_id:
                    self.targets.add(row.right_entity_id)
            elif isinstance(row, TemporalRow):
                self.subjects.add(row.entity_id)
            elif row is not None:
                self.own.add(row.id)
        if isinstance(change, EntityChange) and erased_entity(change) is not None:
            self.erasures.add(change.source.tx_id)

    def refuse(self, position: int, error: InvalidError) -> None:
        self.refused[position] = error

    def letters(self) -> list[DeadLetter]:
        return [dead_letter(self.records[at], error) for at, error in sorted(self.refused.items())]


def age_s(milliseconds: int, now: datetime) -> float:
    """Seconds since a commit, not negative where the clocks differ."""
    return max(0.0, (now.astimezone(UTC) - from_epoch_ms(milliseconds)).total_seconds())
