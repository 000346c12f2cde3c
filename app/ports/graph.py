"""Reads of the graph, as web asks for them."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Literal, NamedTuple, Protocol

import msgspec

from app.core.export import ExportLine
from app.core.models import EntityKey
from app.core.selection import Selection

CacheOutcome = Literal["hit", "miss", "bypass"]
Direction = Literal["out", "in"]


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


class GraphReader(Protocol):
    """Reads of trees: `depth` levels of relationships, temporal rows with reference_date >= `since`.

    Every part of an answer has reached the position `token`; where nothing that did can be asked, TransientError is
    raised. `matches` is asked about the answer's tag before its body is made, and is true where the client has it.
    `selection` None is everything, the fastest.
    """

    def recall(
        self, entity_id: int, *, depth: int, since: datetime | None, selection: Selection | None = None
    ) -> Answer | None:
        """The tree of one entity where this process has all of it in its memory; None where it has not."""
        ...

    def recall_by_reference(
        self, key: EntityKey, *, depth: int, since: datetime | None, selection: Selection | None = None
    ) -> Answer | None:
        """As `by_reference`, where this process has all of it in its memory; None where it has not."""
        ...

    def recall_by_property(
        self,
        path: str,
        value: str,
        *,
        depth: int,
        since: datetime | None,
        limit: int,
        after: int,
        selection: Selection | None = None,
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


class EdgePlace(NamedTuple):
    """Where a relationship stands among those of one of its ends: by the id of its target, and then by its own.

    Seen from the target, by its own alone: `target` is 0.
    """

    target: int
    edge: int


class RelationshipPage(NamedTuple):
    """A JSON array of relationships, and after which one the next page begins; None where it is the last."""

    answer: Answer
    next_after: EdgePlace | None


class RelationshipReader(Protocol):
    """The relationships of one entity from either end; read from PostgreSQL, never from a cache.

    `token` and `matches` mean what they mean to GraphReader; None where there is no such entity.
    """

    async def page(
        self,
        entity_id: int,
        *,
        direction: Direction,
        relationship_type: str | None,
        entity_type: str | None,
        limit: int,
        after: EdgePlace,
        token: int = 0,
        matches: Callable[[str], bool] | None = None,
    ) -> RelationshipPage | None:
        """At most `limit` of them, with their metadata and their other end, in the order of EdgePlace.

        With a type, of the relationship or of the other end, a page looks at a bounded number of them: it may hold
        fewer than `limit`, or none, and have another one after it.
        """
        ...

    async def counts(
        self, entity_id: int, *, token: int = 0, matches: Callable[[str], bool] | None = None
    ) -> Answer | None:
        """A JSON object: for `out` and `in` how many there are by type and by the other end's type.

        `complete` is false where an entity has so many that the rest was not counted.
        """
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


class EntityDirectory(Protocol):
    """Ids and business keys, read on the primary, since a lagging replica would say that one is gone."""

    async def keys_of(self, ids: Sequence[int]) -> Mapping[int, EntityKey]:
        """Business keys of those ids that exist, in one query."""
        ...

    async def types_of(self, references: Sequence[str]) -> Mapping[str, list[str]]:
        """For each reference the types, sorted, of the entities that bear it; absent where none does."""
        ...


class ProfileExporter(Protocol):
    """Everything that is held about one entity."""

    def export(self, entity_id: int) -> AbstractAsyncContextManager[AsyncIterator[ExportLine] | None]:
        """The lines, of one snapshot of the primary, while the context is open; None: there is no such entity.

        A page of rows is in memory at a time. Raises TransientError or FatalError, also between lines.
        """
        ...
