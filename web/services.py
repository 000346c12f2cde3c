"""What the HTTP surface is given by the composition root."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from aiohttp import web

from app.config.settings import Settings
from app.core.clock import Clock
from app.core.consistency_token import Tokens
from app.core.domain_event import DomainEvent
from app.core.signing import Signer
from app.observability.readiness import Readiness
from app.ports.dead_letters import LetterBox
from app.ports.erasure import LetterSweeper, LogEnds, ProfileEraser, TopicConfigs
from app.ports.events import EventFeed
from app.ports.graph import (
    EntityDirectory,
    EntityIndex,
    GraphReader,
    ProfileExporter,
    ProvenanceReader,
    RelationshipReader,
)
from app.ports.writing import ProfilePreview, ProfileWriter
from web.auth.api_key_cache import KeyRing
from web.auth.gate import Gate
from web.held_answers import HeldAnswers

_LOOKS_AT_ONCE: Final = 4

Observe = Callable[[str, int, float, str], None]


class Erased(Protocol):
    """Knows which events name who was erased after them."""

    async def among(self, events: Sequence[DomainEvent]) -> set[int]:
        """The places of those that are not to be told. Raises TransientError or FatalError."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WebServices:
    """The ports behind the routes.

    `position` is the primary's WAL position, None while it is down. `metrics` returns a Prometheus page and its content
    type. `observe` is told each answered request: its route template, status, seconds and cache outcome (`hit`,
    `miss`, `bypass` or `-`); `observe_express`, where there is one, of those that memory answers; `observe_wait` the
    seconds that a request waited for its turn. Without `keys` the server is for this machine alone.
    """

    reader: GraphReader
    writer: ProfileWriter
    preview: ProfilePreview
    eraser: ProfileEraser
    letters: LetterSweeper
    exporter: ProfileExporter
    directory: EntityDirectory
    entities: EntityIndex
    relationships: RelationshipReader
    provenance: ProvenanceReader
    feed: EventFeed
    letter_box: LetterBox
    readiness: Readiness
    clock: Clock
    tokens: Tokens
    signer: Signer  # of cursors
    position: Callable[[], Awaitable[int | None]]
    metrics: Callable[[], Awaitable[tuple[bytes, str]]]
    observe: Observe | None = None
    observe_express: Observe | None = None
    observe_wait: Callable[[float], None] = lambda _: None
    keys: KeyRing | None = None
    erased_events: "Erased | None" = None  # which of them are not told any more
    log_ends: LogEnds | None = None  # removals note them
    topic_configs: TopicConfigs | None = None  # receipts say what they are set to
    # Of watched trees that are read anew at the same time, however many streams there are.
    looks: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_LOOKS_AT_ONCE))


SERVICES = web.AppKey("services", WebServices)
HELD = web.AppKey("held", HeldAnswers)
SETTINGS = web.AppKey("settings", Settings)
# Answers what the router takes to no route, and so to no boundary.
UNROUTED: web.AppKey[Callable[[web.Request], Awaitable[web.StreamResponse]]] = web.AppKey("unrouted")
GATE = web.AppKey("gate", Gate)
