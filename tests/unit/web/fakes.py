"""Ports that answer from memory and remember what they were asked."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from app.core.consistency_token import Tokens
from app.core.erasure import ErasureReceipt
from app.core.errors import InvalidError
from app.core.export import ExportLine
from app.core.models import Batch, Changes, EntityKey
from app.core.preview import Difference, Preview
from app.core.records import StoredLetter
from app.core.selection import Selection
from app.core.signing import Signer
from app.feed.feed import ChangeFeed
from app.observability.readiness import Readiness
from app.ports.dead_letters import LetterPage
from app.ports.graph import Answer, EdgePlace, RelationshipPage
from app.ports.health import DependencyState
from tests.unit.app.feed.event_log import Topic
from web.auth.api_key_cache import KeyRing
from web.services import WebServices


async def metrics_page() -> tuple[bytes, str]:
    return b"up 1\n", "text/plain; version=0.0.4; charset=utf-8"


NOW = datetime(2025, 10, 5, 12, 0, 0, 123456, tzinfo=UTC)
SIGNER = Signer(b"s" * 32)
TOKENS = Tokens(lambda: "7.2.3", SIGNER)
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
    selections: list[Selection | None] = field(default_factory=list)
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

    def recall(
        self, entity_id: int, *, depth: int, since: datetime | None, selection: Selection | None = None
    ) -> Answer | None:
        asked = (entity_id, depth, since, *([] if selection is None else [selection]))
        return self._recall("recall", *asked) if entity_id == 7 else None

    def recall_by_reference(
        self, key: EntityKey, *, depth: int, since: datetime | None, selection: Selection | None = None
    ) -> Answer | None:
        asked = (key, depth, since, *([] if selection is None else [selection]))
        return self._recall("recall_by_reference", *asked) if key == ("user", "u-7") else None

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
        asked = (path, value, depth, since, limit, after, *([] if selection is None else [selection]))
        return self._recall("recall_by_property", *asked)

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
            missing=frozenset(i for i in call[1] if i != 7) if call[0] == "batch" else frozenset(),  # type: ignore[attr-defined]
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
        selection: Selection | None = None,
    ) -> Answer | None:
        self.tokens.append(token)
        self.selections.append(selection)
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
        selection: Selection | None = None,
    ) -> Answer | None:
        self.tokens.append(token)
        self.selections.append(selection)
        answer = await self._answer("by_reference", key, depth, since, matches=matches)
        return answer if key == ("user", "u-7") else None

    async def batch(
        self,
        ids: Sequence[int],
        *,
        depth: int,
        since: datetime | None,
        token: int = 0,
        selection: Selection | None = None,
    ) -> Answer:
        self.selections.append(selection)
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
        selection: Selection | None = None,
    ) -> Answer:
        self.tokens.append(token)
        self.selections.append(selection)
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
        return {7: EntityKey("user", "u-7")} if 7 in ids else {}

    async def types_of(self, references: Sequence[str]) -> Mapping[str, list[str]]:
        self.asked.append(list(references))
        return {reference: self.types[reference] for reference in references if reference in self.types}


RECEIPT = ErasureReceipt(
    ledger_id="ab" * 32,
    erased_at=NOW,
    properties=3,
    edges=2,
    points=5,
    letters=0,
    letters_checked_at=None,
    caches_told=True,
    position=0x1_0000_0002,
)


@dataclass
class FakeEraser:
    """Erases the entity 7 (user, u-7); `checked` is the receipt after the dead letters were seen to."""

    checked: ErasureReceipt = RECEIPT
    error: Exception | None = None
    asked_again: Exception | None = None
    calls: list[object] = field(default_factory=list)

    async def erase(self, key: EntityKey) -> ErasureReceipt | None:
        return self._erase(key, known=key == ("user", "u-7"))

    async def erase_id(self, entity_id: int) -> ErasureReceipt | None:
        return self._erase(entity_id, known=entity_id == 7)

    def _erase(self, asked: object, *, known: bool) -> ErasureReceipt | None:
        self.calls.append(asked)
        if self.error is not None:
            raise self.error
        return RECEIPT if known else None

    async def receipt(self, ledger_id: str) -> ErasureReceipt | None:
        if self.asked_again is not None:
            raise self.asked_again
        return self.checked if ledger_id == RECEIPT.ledger_id else None


@dataclass
class FakeLetters:
    waits: list[float] = field(default_factory=list)

    async def swept(self, *, wait_s: float) -> None:
        self.waits.append(wait_s)


@dataclass
class FakeExporter:
    """Holds `lines` of the entity 7; after them `error` is raised, if any."""

    lines: list[ExportLine] = field(default_factory=list)
    error: Exception | None = None
    open: int = 0

    @asynccontextmanager
    async def export(self, entity_id: int) -> AsyncIterator[AsyncIterator[ExportLine] | None]:
        self.open += 1
        try:
            yield self._lines() if entity_id == 7 else None
        finally:
            self.open -= 1

    async def _lines(self) -> AsyncIterator[ExportLine]:
        for line in self.lines:
            yield line
        if self.error is not None:
            raise self.error


@dataclass
class FakeIndex:
    """One entity of type user; `moved` are the ids that lead on."""

    moved: dict[int, int] = field(default_factory=dict)
    next_after: int | None = None
    calls: list[tuple[object, ...]] = field(default_factory=list)

    async def page(self, kind: str | None, *, limit: int, after: int, token: int = 0) -> Answer:
        self.calls.append((kind, limit, after, token))
        return Answer(body=b"[]", cache="bypass", etag="5eed", next_after=self.next_after, upper=9)

    async def moved_to(self, ids: Sequence[int]) -> Mapping[int, int]:
        return {number: self.moved[number] for number in ids if number in self.moved}


@dataclass
class FakeRelationships:
    """Of the entity 7; `next_after` is where a next page begins."""

    next_after: EdgePlace | None = None
    calls: list[dict[str, object]] = field(default_factory=list)

    async def page(self, entity_id: int, **asked: Any) -> RelationshipPage | None:
        self.calls.append(asked)
        answer = await self.counts(entity_id, matches=asked.pop("matches"))
        return None if answer is None else RelationshipPage(answer, self.next_after)

    async def counts(
        self, entity_id: int, *, token: int = 0, matches: Callable[[str], bool] | None = None
    ) -> Answer | None:
        if entity_id != 7:
            return None
        same = matches is not None and matches("5eed")
        return Answer(body=None if same else b"[]", cache="bypass", etag="5eed", upper=9)


@dataclass
class FakeProvenance:
    """Knows the entity 7, `user:u-7`."""

    calls: list[tuple[object, ...]] = field(default_factory=list)

    async def by_id(
        self, entity_id: int, *, token: int = 0, matches: Callable[[str], bool] | None = None
    ) -> Answer | None:
        return self._answer(entity_id == 7, entity_id, token, matches)

    async def by_reference(
        self, key: EntityKey, *, token: int = 0, matches: Callable[[str], bool] | None = None
    ) -> Answer | None:
        return self._answer(key == ("user", "u-7"), key, token, matches)

    def _answer(
        self, known: bool, asked: object, token: int, matches: Callable[[str], bool] | None
    ) -> Answer | None:
        self.calls.append((asked, token))
        if not known:
            return None
        same = matches is not None and matches("5eed")
        return Answer(body=None if same else b'{"id":7}', cache="bypass", etag="5eed", upper=9)


@dataclass
class FakeLetterBox:
    """Holds letters of the topic `properties`, by id; `stays` is why none can be replayed."""

    letters: dict[str, StoredLetter] = field(default_factory=dict)
    stays: str | None = None
    error: Exception | None = None
    calls: list[tuple[object, ...]] = field(default_factory=list)

    async def page(self, topic: str | None, *, limit: int, after: tuple[int, int] | None) -> LetterPage:
        self.calls.append((topic, limit, after))
        if self.error is not None:
            raise self.error
        if topic not in (None, "properties"):
            raise InvalidError("It is not a topic with dead letters.", code="unknown-topic")
        first = 0 if after is None else after[1] + 1
        letters = list(self.letters.values())[first:]
        more = (6, first + limit - 1) if len(letters) > limit else None
        return LetterPage(letters=letters[:limit], next_after=more)

    async def replay(self, letter_id: str) -> str | None:
        if self.error is not None:
            raise self.error
        if letter_id not in self.letters:
            raise InvalidError("No such dead letter.", code="no-such-letter")
        if self.stays is None:
            del self.letters[letter_id]
        return self.stays


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

    def epoch_s(self) -> float:
        return self.now().timestamp()


@dataclass
class World:
    """Everything behind one application."""

    reader: FakeReader = field(default_factory=FakeReader)
    writer: FakeWriter = field(default_factory=FakeWriter)
    preview: FakePreview = field(default_factory=FakePreview)
    eraser: FakeEraser = field(default_factory=FakeEraser)
    letters: FakeLetters = field(default_factory=FakeLetters)
    exporter: FakeExporter = field(default_factory=FakeExporter)
    directory: FakeDirectory = field(default_factory=FakeDirectory)
    entities: FakeIndex = field(default_factory=FakeIndex)
    relationships: FakeRelationships = field(default_factory=FakeRelationships)
    provenance: FakeProvenance = field(default_factory=FakeProvenance)
    topic: Topic = field(default_factory=Topic)
    letter_box: FakeLetterBox = field(default_factory=FakeLetterBox)
    max_event_bytes: int = 1 << 20
    probes: list[FakeProbe] = field(default_factory=list)
    primary_position: int | None = 500
    keys: KeyRing | None = None
    observed: list[tuple[str, int, float, str]] = field(default_factory=list)

    async def position(self) -> int | None:
        return self.primary_position

    def services(self) -> WebServices:
        return WebServices(
            reader=self.reader,
            writer=self.writer,
            preview=self.preview,
            eraser=self.eraser,
            letters=self.letters,
            exporter=self.exporter,
            directory=self.directory,
            entities=self.entities,
            relationships=self.relationships,
            provenance=self.provenance,
            feed=ChangeFeed(
                "t",
                self.topic.reader,
                signer=SIGNER,
                max_streams=2,
                max_bytes=self.max_event_bytes,
                catching_up=1,
            ),
            letter_box=self.letter_box,
            readiness=Readiness(self.probes, FakeClock(), every_s=0),
            clock=FakeClock(),
            tokens=TOKENS,
            signer=SIGNER,
            position=self.position,
            metrics=metrics_page,
            observe=lambda *seen: self.observed.append(seen),
            keys=self.keys,
        )
