"""What agents, web and cdc ask of storage. They see these Protocols alone, never an adapter."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

import msgspec

from app.core.audit import AuditReport
from app.core.domain_event import DomainEvent
from app.core.erasure import ErasureReceipt, LedgerEntry, Named, Taken
from app.core.export import ExportLine
from app.core.models import Batch, Changes, EntityKey
from app.core.preview import Preview
from app.core.selection import Selection
from app.dead_letters.letter import StoredLetter

CacheOutcome = Literal["hit", "miss", "bypass"]


class Answer(msgspec.Struct, kw_only=True):
    """A serialised JSON body and where it came from; a body of None was not made, since the tag matched.

    `etag` is of the content and what was asked: opaque, without quotes. `upper` is a WAL position that was read after
    the data, and `read_at` the time in seconds since 1970 at which the oldest part was read.
    `cache`: `hit` asked PostgreSQL nothing; `miss` asked it for some fragment; `bypass` could not ask the
    cache, or must not store the answer. `verified` is false where the freshness of the answer can't be known
    (the primary is down and a replica answered).

    An answer may be given to many: nothing of it is changed, but for `memo`, where whoever serves it keeps what it made
    of it, for next time.
    """

    body: bytes | None
    cache: CacheOutcome
    etag: str = ""
    stored: bool = False
    verified: bool = True
    upper: int = 0
    read_at: float = float("inf")
    next_after: int | None = None  # of a page: the id after which the next one starts
    missing: frozenset[int] = frozenset()  # of a batch: the ids that no entity has
    memo: object = None


class ProfileWriter(Protocol):
    """Writes one batch in one transaction, then invalidates caches."""

    async def write(self, batch: Batch) -> Changes:
        """Commit the batch and return what changed.

        Idempotent and independent of order: the last writer by reference date wins, against what is stored
        too. A failure of the cache never fails a write. Raises TransientError (nothing committed, or it is
        not known whether it was; write it again), InvalidError (PostgreSQL refuses a value: split the batch
        to find it) or FatalError.
        """
        ...

    async def now(self) -> datetime:
        """The primary's clock, in UTC."""
        ...


class ProfilePreview(Protocol):
    """Tells what a write would change. Writes nothing: no row, no WAL, no sequence value."""

    async def preview(self, batch: Batch) -> Preview:
        """What ProfileWriter.write would do with the batch, against one snapshot of the primary.

        Raises as `write` does: TransientError, InvalidError (PostgreSQL refuses a value) or FatalError.
        """
        ...

    async def now(self) -> datetime:
        """The primary's clock, in UTC."""
        ...


class ProfileEraser(Protocol):
    """Erases entities."""

    async def erase(self, key: EntityKey) -> ErasureReceipt | None:
        """Delete the entity, its edges on both sides and its points, in one transaction.

        Records about it that were told not later than this are dropped from now on. Caches are told after the
        commit. Where there is no such entity, the receipt of its erasure, or None where there was none either. Raises
        TransientError (it may have been erased: ask again) or FatalError.
        """
        ...

    async def erase_id(self, entity_id: int) -> ErasureReceipt | None:
        """The same by id."""
        ...

    async def receipt(self, ledger_id: str) -> ErasureReceipt | None:
        """What the ledger says now of an erasure."""
        ...


class ErasureRegister(Protocol):
    """What the ledger says of copies outside of the database. Raises TransientError or FatalError."""

    async def unchecked(self) -> Mapping[str, datetime]:
        """The erasures, by ledger id, whose dead letters have not been removed yet, and their dates."""
        ...

    async def erased_among(self, named: Sequence[Named]) -> list[frozenset[str]]:
        """For each the ledger ids of those that it is about and that were erased not before it was told."""
        ...

    async def note_letters(self, checked: Mapping[str, datetime], letters: Mapping[str, int]) -> None:
        """The dead letters of these erasures, as `unchecked` told them, are removed, so many of each."""
        ...


class ErasureTransfer(Protocol):
    """Carries the ledger into a database that was restored from before. Raises TransientError or FatalError.

    Both databases have to be under the same PROFILE_ERASURE_KEY.
    """

    def entries(self, *, since: datetime | None = None) -> AsyncIterator[LedgerEntry]:
        """The ledger, in one snapshot of the primary, by the date of the erasure; `since`: not those before."""
        ...

    def take(
        self, entries: Sequence[LedgerEntry], *, made_since: datetime | None = None
    ) -> AsyncIterator[Sequence[Taken]]:
        """Note the entries that the ledger lacks, or has with an older date, and erase whom they are about.

        In batches, each in one transaction in which no flush is open, and told when it has committed; caches are told
        by then. So what breaks off may be repeated, and what the ledger has already is left alone. `made_since`: erase
        as well whoever was made since then, though it was after the erasure, and though the ledger has the entry.
        """
        ...


class LetterSweeper(Protocol):
    """Removes the dead letters about erased entities."""

    async def swept(self, *, wait_s: float) -> None:
        """Begin now what is due; return when it was tried, or after so long. Never raises."""
        ...


class ProfileExporter(Protocol):
    """Everything that is held about one entity."""

    def export(self, entity_id: int) -> AbstractAsyncContextManager[AsyncIterator[ExportLine] | None]:
        """The lines, of one snapshot of the primary, while the context is open; None: there is no such entity.

        A page of rows is in memory at a time. Raises TransientError or FatalError, also between lines.
        """
        ...


class EntityDirectory(Protocol):
    """Ids and business keys, read on the primary, since a lagging replica would say that one is gone."""

    async def keys_of(self, ids: Sequence[int]) -> Mapping[int, EntityKey]:
        """Business keys of those ids that exist, in one query."""
        ...

    async def types_of(self, references: Sequence[str]) -> Mapping[str, list[str]]:
        """For each reference the types, sorted, of the entities that bear it; absent where none does."""
        ...


class GraphReader(Protocol):
    """Reads of trees: `depth` levels of relationships, temporal rows with reference_date >= `since`.

    Every part of an answer has reached the position `token`; where nothing that did can be asked, TransientError is
    raised. `matches` is asked about the answer's tag before its body is made, and is true where the client has it.
    `selection` None is everything, the fastest.
    """

    def recall(self, entity_id: int, *, depth: int, since: datetime | None) -> Answer | None:
        """The tree of one entity where this process has all of it in its memory; None where it has not."""
        ...

    def recall_by_property(
        self, path: str, value: str, *, depth: int, since: datetime | None, limit: int, after: int
    ) -> Answer | None:
        """As `by_property`, where this process has all of it in its memory; None where it has not."""
        ...

    async def graph(
        self,
        entity_id: int,
        *,
        depth: int,
        since: datetime | None,
        token: int = 0,
        matches: Callable[[str], bool] | None = None,
        selection: Selection | None = None,
    ) -> Answer | None:
        """The tree of one entity, or None where there is no such entity."""
        ...

    async def by_reference(
        self,
        key: EntityKey,
        *,
        depth: int,
        since: datetime | None,
        token: int = 0,
        matches: Callable[[str], bool] | None = None,
        selection: Selection | None = None,
    ) -> Answer | None:
        """The tree of one entity by business key."""
        ...

    async def batch(
        self,
        ids: Sequence[int],
        *,
        depth: int,
        since: datetime | None,
        token: int = 0,
        selection: Selection | None = None,
    ) -> Answer:
        """A JSON array with one item per id, in order: its tree, or null where there is no such entity."""
        ...

    async def by_property(
        self,
        path: str,
        value: str,
        *,
        depth: int,
        since: datetime | None,
        limit: int,
        after: int,
        token: int = 0,
        matches: Callable[[str], bool] | None = None,
        selection: Selection | None = None,
    ) -> Answer:
        """A JSON array of the trees of all entities, in order of id, whose property at `path` is `value`.

        `path` is dotted and may hold the storage's `value` segment after the field name; `value` matches
        the JSON string, or the JSON number, boolean or null that it spells.
        """
        ...


class EntityIndex(Protocol):
    """The entities as rows; read from PostgreSQL, never from a cache."""

    async def page(self, kind: str | None, *, limit: int, after: int, token: int = 0) -> Answer:
        """A JSON array of entities, of a type or of all, in order of id from the one after `after`."""
        ...

    async def moved_to(self, ids: Sequence[int]) -> Mapping[int, int]:
        """For each id of a placeholder that was merged away, the id of the entity that it is one with."""
        ...


class ProvenanceReader(Protocol):
    """For each property the date that won and where it came from; read from PostgreSQL, never from a cache.

    The answers are JSON objects: `id`, `type`, `reference`, and `properties` by field, removed ones too. `token` and
    `matches` mean what they mean to GraphReader; None where there is no such entity.
    """

    async def by_id(
        self, entity_id: int, *, token: int = 0, matches: Callable[[str], bool] | None = None
    ) -> Answer | None: ...

    async def by_reference(
        self, key: EntityKey, *, token: int = 0, matches: Callable[[str], bool] | None = None
    ) -> Answer | None: ...


class PlaceholderMerger(Protocol):
    """Merges placeholders of type `unknown` into the one typed entity of their reference."""

    async def merge(self) -> int | None:
        """Merge a bounded number, in one transaction, and return it; None while another process does.

        A placeholder whose reference several types bear, or none, stays. Idempotent: nothing to do writes nothing.
        Caches are told after the commit. Raises TransientError or FatalError.
        """
        ...


class Invalidator(Protocol):
    """Drops from the caches what a commit changed."""

    @property
    def behind(self) -> bool:
        """Whether a cache node has not taken yet what was submitted."""
        ...

    async def submit(self, changes: Changes) -> None:
        """Try once, now; what a node does not take is tried again in the background. Idempotent. Never raises."""
        ...


class Auditor(Protocol):
    """Compares what is cached with the primary."""

    async def audit(self, *, sample: int, grace_s: float, repair: bool = False) -> AuditReport:
        """Compare up to `sample` entries, by chance, of each level of the cache.

        Stale is an entry that is still there `grace_s` after the primary was seen to say something else. `repair`
        drops what is stale from all levels of all workers. Raises TransientError where the primary or the cache does
        not answer.
        """
        ...


class CommitLog(Protocol):
    """What CDC asks of the primary, since a commit can be decoded before it is visible there."""

    async def visible_position(self, xids: Sequence[int], *, timeout_s: float) -> int:
        """Wait until these transactions (32-bit ids, as Debezium's source.txId) are visible on the primary.

        Returns the primary's WAL flush position read after that. Raises TransientError on time-out.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DependencyState:
    """One line of /readyz."""

    name: str
    ready: bool
    required: bool
    detail: str


class Probe(Protocol):
    """The true state of one or several dependencies, asked now and bounded in time."""

    async def check(self) -> list[DependencyState]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotState:
    """A logical replication slot, beside the primary's flush position. Positions and sizes are bytes."""

    active: bool
    wal_status: str  # reserved, extended, unreserved, lost
    flushed: int  # the primary's position
    confirmed: int | None
    lag_bytes: int  # flushed less confirmed: what was not yet published, or not yet told so
    retained_bytes: int | None  # what the slot keeps on disk; None where it is lost
    safe_bytes: int | None  # what may be written before the slot is lost; None where there is no limit

    @property
    def lost(self) -> bool:
        return self.wal_status == "lost"


class ReplicationSlots(Protocol):
    """Logical slots of the primary. Each call raises TransientError or FatalError."""

    async def state(self, name: str) -> SlotState | None:
        """Its state now, or None where there is no such slot."""
        ...

    async def create(self, name: str) -> int:
        """Make one; every commit after the position that is returned will be read from it."""
        ...

    async def drop(self, name: str) -> bool:
        """Remove one that nobody uses; false where there is none."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskState:
    """A task of a connector; `cause` is one line, empty unless it failed."""

    number: int
    state: str
    cause: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorState:
    """A connector, in Connect's words: RUNNING, PAUSED, STOPPED, FAILED, UNASSIGNED, RESTARTING."""

    state: str
    tasks: tuple[TaskState, ...]
    cause: str = ""

    @property
    def states(self) -> tuple[str, ...]:
        """Of the connector and its tasks."""
        return (self.state, *(task.state for task in self.tasks))

    @property
    def running(self) -> bool:
        return bool(self.tasks) and set(self.states) == {"RUNNING"}

    @property
    def failed(self) -> bool:
        return "FAILED" in self.states

    @property
    def summary(self) -> str:
        tasks = ", ".join(f"task {task.number} {task.state}" for task in self.tasks) or "no task"
        return f"{self.state}, {tasks}"

    def __post_init__(self) -> None:
        if not self.cause:
            found = next((task.cause for task in self.tasks if task.cause), "")
            object.__setattr__(self, "cause", found)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorPosition:
    """What a connector has published and remembers durably: a position, and the time of its commit."""

    lsn: int
    committed_us: int | None


class ConnectorAdmin(Protocol):
    """What is asked of Kafka Connect. Each call raises TransientError, or FatalError where Connect refuses."""

    async def state(self, name: str) -> ConnectorState | None:
        """None where there is no such connector."""
        ...

    async def config(self, name: str) -> dict[str, str] | None:
        """Its configuration, without masking; None where there is no such connector."""
        ...

    async def position(self, name: str) -> ConnectorPosition | None:
        """None where it has published nothing yet."""
        ...

    async def restart(self, name: str, *, only_failed: bool = True) -> None:
        """Start its tasks again, by default only those that failed."""
        ...


class Record(Protocol):
    """What is used of a consumed record (aiokafka's ConsumerRecord has it)."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...  # milliseconds since 1970
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


class RecordProcessor(Protocol):
    """What an agent does with a closed window; the loop around it acks after it returned."""

    async def process(self, records: Sequence[Record]) -> None:
        """Make all effects of the records durable, in the database, a topic or a dead-letter topic.

        Idempotent. A record that can't be processed is dead-lettered here. Raises TransientError (the same
        records come again) or FatalError (the process stops without committing their offsets).
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A record that can't be processed, with its provenance; `value` None is a tombstone."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    error: str  # the InvalidError's code
    reason: str


class DeadLetterSink(Protocol):
    """Where dead letters go."""

    async def publish(self, letters: Sequence[DeadLetter]) -> None:
        """Return when the broker has acknowledged all of them. Raises TransientError."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterPage:
    """Dead letters that stand, in order; `next_after` is where the next page begins, None on the last one."""

    letters: Sequence[StoredLetter]
    next_after: tuple[int, int] | None = None  # the number of the topic, and an offset of its dead letters


class LetterBox(Protocol):
    """The dead letters. Each call raises TransientError (Kafka does not answer) or BusyError."""

    async def page(self, topic: str | None, *, limit: int, after: tuple[int, int] | None) -> LetterPage:
        """Those of one original topic or of all. Raises InvalidError for a topic that has none."""
        ...

    async def replay(self, letter_id: str) -> str | None:
        """Send the record of `topic/partition/offset` to its topic again, and remove the letter.

        Returns why the letter stays, None where it was replayed. Raises InvalidError where there is no such letter.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingEvent:
    """A record of the domain-events topic; it goes to the partition of `partition_key`, by default that of its key."""

    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]
    timestamp_ms: int
    partition_key: bytes | None = None


class EventSink(Protocol):
    """Publishes domain events."""

    async def publish(self, events: Sequence[OutgoingEvent]) -> None:
        """Send in order; return when the broker has acknowledged all of them. Raises TransientError."""
        ...


class EventStream(Protocol):
    """Domain events for one reader, from its position on: in the order of each partition, each once."""

    @property
    def cursor(self) -> str:
        """The position after what was taken. Whoever asks for it later gets what follows, and nothing twice."""
        ...

    @property
    def gap(self) -> str | None:
        """Why events are missing between the reader's position and the first one here; None where none are."""
        ...

    @property
    def waits_for(self) -> str | None:
        """What keeps new events away; None where nothing does."""
        ...

    def take(self, wanted: Callable[[DomainEvent], bool]) -> DomainEvent | None:
        """The next event that is wanted; None where none is here yet.

        Raises StreamEndedError where the reader fell behind, or the process stops.
        """
        ...

    async def wait(self, timeout_s: float) -> None:
        """Return when there may be more to take, or after so long. Raises as `take` does, and TransientError."""
        ...


class EventFeed(Protocol):
    """The domain events as they come."""

    def follow(self, after: str | None) -> AbstractAsyncContextManager[EventStream]:
        """A stream from this cursor on, by default from now on.

        Raises InvalidError (it is no cursor), BusyError (there are as many streams as there may be) or TransientError
        (Kafka does not answer).
        """
        ...

    def end_streams(self) -> None:
        """Make every stream raise StreamEndedError, and begin no other one."""
        ...


class StreamEndedError(Exception):
    """A stream is over; its reader may follow again from its cursor. The message says why."""
