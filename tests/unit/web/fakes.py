"""Ports that answer from memory and remember what they were asked."""

import asyncio
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256

from app.models import Batch, Changes, EntityKey
from app.ports import Answer, DependencyState
from app.preview import Difference, Preview
from app.tokens import Tokens
from web.services import WebServices

NOW = datetime(2025, 10, 5, 12, 0, 0, 123456, tzinfo=UTC)
TOKENS = Tokens("7.2.3")
Matches = Callable[[str], bool]
TREE = b'{"id":7,"type":"user","reference":"u-7","properties":{},"edges":[],"temporal_data":null}'


@dataclass
class FakeReader:
    """Knows the entity 7 (user, u-7). `error` is raised by every call; `delay_s` passes before it."""

    body: bytes = TREE
    cache: str = "hit"
    stored: bool = False
    verified: bool = True
    next_after: int | None = None
    error: Exception | None = None
    delay_s: float = 0.0
    calls: list[tuple[object, ...]] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    upper: int = 0
    read_at: float = float("inf")
    in_memory: bool = False  # so that it answers at once
    kept: Answer | None = None

    def _recall(self, *call: object) -> Answer | None:
        if not self.in_memory or self.error is not None:
            return None
        self.calls.append(call)
        if self.kept is None or self.kept.body != self.body:
            etag = sha256(self.body).hexdigest()[:24]
            self.kept = Answer(body=self.body, etag=etag, cache="hit", upper=self.upper, read_at=self.read_at)
        return self.kept

    def recall(self, entity_id: int, *, depth: int, since: datetime | None) -> Answer | None:
        return self._recall("recall", entity_id, depth, since) if entity_id == 7 else None

    def recall_by_property(
        self, path: str, value: str, *, depth: int, since: datetime | None, limit: int, after: int
    ) -> Answer | None:
        return self._recall("recall_by_property", path, value, depth, since, limit, after)

    async def _answer(
        self,
        *call: object,
        body: bytes | None = None,
        next_after: int | None = None,
        matches: Matches | None = None,
    ) -> Answer:
        self.calls.append(call)
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if self.error is not None:
            raise self.error
        body = self.body if body is None else body
        etag = "" if call[0] == "batch" else sha256(body).hexdigest()[:24]
        return Answer(
            body=None if matches is not None and matches(etag) else body,
            etag=etag,
            cache=self.cache,  # type: ignore[arg-type]
            stored=self.stored,
            verified=self.verified,
            next_after=next_after,
            upper=self.upper,
            read_at=self.read_at,
        )

    async def graph(
        self,
        entity_id: int,
        *,
        depth: int,
        since: datetime | None,
        token: int = 0,
        matches: Matches | None = None,
    ) -> Answer | None:
        self.tokens.append(token)
        answer = await self._answer("graph", entity_id, depth, since, matches=matches)
        return answer if entity_id == 7 else None

    async def by_reference(
        self,
        key: EntityKey,
        *,
        depth: int,
        since: datetime | None,
        token: int = 0,
        matches: Matches | None = None,
    ) -> Answer | None:
        self.tokens.append(token)
        answer = await self._answer("by_reference", key, depth, since, matches=matches)
        return answer if key == ("user", "u-7") else None

    async def batch(
        self, ids: Sequence[int], *, depth: int, since: datetime | None, token: int = 0
    ) -> Answer:
        self.tokens.append(token)
        body = b"[" + b",".join(self.body if number == 7 else b"null" for number in ids) + b"]"
        return await self._answer("batch", list(ids), depth, since, body=body)

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
        matches: Matches | None = None,
    ) -> Answer:
        self.tokens.append(token)
        found = self.next_after is not None
        return await self._answer(
            "by_property",
            path,
            value,
            depth,
            since,
            limit,
            after,
            body=b"[" + self.body + b"]" if found else b"[]",
            next_after=self.next_after,
            matches=matches,
        )


@dataclass
class FakeWriter:
    error: Exception | None = None
    delay_s: float = 0.0
    batches: list[Batch] = field(default_factory=list)

    async def write(self, batch: Batch) -> Changes:
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if self.error is not None:
            raise self.error
        self.batches.append(batch)
        return Changes(position=1)

    async def now(self) -> datetime:
        return NOW


@dataclass
class FakePreview:
    """Answers `found`, or that everything in the batch would be created."""

    found: Preview | None = None
    error: Exception | None = None
    delay_s: float = 0.0
    batches: list[Batch] = field(default_factory=list)

    async def preview(self, batch: Batch) -> Preview:
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if self.error is not None:
            raise self.error
        self.batches.append(batch)
        if self.found is not None:
            return self.found
        return Preview(
            entities=[Difference(row=EntityKey(*row[:2]), outcome="created") for row in batch.entities],
            properties=[Difference(row=row, outcome="created") for row in batch.properties],
            edges=[Difference(row=row, outcome="created") for row in batch.edges],
            temporal=[Difference(row=row, outcome="created") for row in batch.temporal],
        )

    async def now(self) -> datetime:
        return NOW


@dataclass
class FakeDirectory:
    types: dict[str, list[str]] = field(default_factory=dict)
    asked: list[list[str]] = field(default_factory=list)

    async def keys_of(self, ids: Sequence[int]) -> Mapping[int, EntityKey]:
        raise NotImplementedError

    async def types_of(self, references: Sequence[str]) -> Mapping[str, list[str]]:
        self.asked.append(list(references))
        return {reference: self.types[reference] for reference in references if reference in self.types}


@dataclass
class FakeProbe:
    states: list[DependencyState] = field(default_factory=list)
    error: Exception | None = None
    delay_s: float = 0.0

    async def check(self) -> list[DependencyState]:
        await asyncio.sleep(self.delay_s)
        if self.error is not None:
            raise self.error
        return self.states


@dataclass
class FakeClock:
    """Each look at the clock is 5 ms later."""

    ticks: Iterator[float] = field(default_factory=lambda: itertools.count(0, 0.005))

    def monotonic(self) -> float:
        return next(self.ticks)

    def now(self) -> datetime:
        return NOW


@dataclass
class World:
    """Everything behind one application."""

    reader: FakeReader = field(default_factory=FakeReader)
    writer: FakeWriter = field(default_factory=FakeWriter)
    preview: FakePreview = field(default_factory=FakePreview)
    directory: FakeDirectory = field(default_factory=FakeDirectory)
    probes: list[FakeProbe] = field(default_factory=list)
    primary_position: int | None = 500
    observed: list[tuple[str, int, float, str]] = field(default_factory=list)

    async def position(self) -> int | None:
        return self.primary_position

    def services(self) -> WebServices:
        return WebServices(
            reader=self.reader,
            writer=self.writer,
            preview=self.preview,
            directory=self.directory,
            probes=self.probes,
            clock=FakeClock(),
            tokens=TOKENS,
            position=self.position,
            metrics=lambda: (b"up 1\n", "text/plain; version=0.0.4; charset=utf-8"),
            observe=lambda *seen: self.observed.append(seen),
        )
