"""What agents, web and cdc ask of storage. They see these Protocols alone, never an adapter."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from app.audit import AuditReport
from app.models import Batch, Changes, EntityKey
from app.preview import Preview

CacheOutcome = Literal["hit", "miss", "bypass"]


@dataclass(slots=True, kw_only=True)
class Answer:
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
    next_after: int | None = None  # by-property: the id after which the next page starts
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasureReceipt:
    """What an erasure removed. `ledger_id` is the keyed hash that remains, in hexadecimal."""

    entity_id: int
    ledger_id: str
    erased_at: datetime
    edges: int
    points: int


class ProfileEraser(Protocol):
    """Erases entities."""

    async def erase(self, key: EntityKey) -> ErasureReceipt | None:
        """Delete the entity, its edges on both sides and its points; None where there is no such entity.

        Records about it that were told not later than this are dropped from now on. Caches are told after the
        commit. Raises TransientError or FatalError.
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
    ) -> Answer | None:
        """The tree of one entity by business key."""
        ...

    async def batch(
        self, ids: Sequence[int], *, depth: int, since: datetime | None, token: int = 0
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
    ) -> Answer:
        """A JSON array of the trees of all entities, in order of id, whose property at `path` is `value`.

        `path` is dotted and may hold the storage's `value` segment after the field name; `value` matches
        the JSON string, or the JSON number, boolean or null that it spells.
        """
        ...


class Invalidator(Protocol):
    """Drops from the caches what a commit changed."""

    async def invalidate(self, changes: Changes) -> bool:
        """Try once, now; true when every cache node took it. Idempotent. Never raises."""
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
class OutgoingEvent:
    """A record of the domain-events topic."""

    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]
    timestamp_ms: int


class EventSink(Protocol):
    """Publishes domain events."""

    async def publish(self, events: Sequence[OutgoingEvent]) -> None:
        """Send in order; return when the broker has acknowledged all of them. Raises TransientError."""
        ...
