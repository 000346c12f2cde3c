"""The whole HTTP surface on real stores, and the sweep of dead letters beside it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from app.clock import SystemClock
from app.dead_letter_store import DeadLetterStore
from app.event_feed import ChangeFeed
from app.event_log import KafkaEventLog
from app.letter_box import KafkaLetterBox
from app.letter_sweep import LetterSweep
from app.settings import Settings
from app.shared_writer import SharedWriter
from app.tokens import Tokens
from storage.stores import Stores
from web.application import WebServices, build

Client = TestClient[Any, Any]


@dataclass
class Served:
    client: Client
    stores: Stores


@asynccontextmanager
async def assembled(
    settings: Settings, *, brokers: list[str] | None = None
) -> AsyncIterator[tuple[web.Application, Stores]]:
    """The application on real stores; `brokers` are those of dead letters and of events."""
    names = settings.topics
    topics = {**dict.fromkeys(names.sources, False), **dict.fromkeys((*names.normalised, names.cdc), True)}
    stores = await Stores.open(settings)
    shared = SharedWriter(stores.writer, max_rows=settings.window_max_records)
    sweep = LetterSweep(
        stores.erasures,
        partial(DeadLetterStore, brokers or settings.kafka_brokers, list(topics)),
        topics,
        interval_s=0.5,
    )
    sweeping = asyncio.create_task(sweep.run())
    feed = ChangeFeed(
        names.domain_events,
        partial(KafkaEventLog, brokers or settings.kafka_brokers, names.domain_events),
        max_streams=settings.web_event_streams,
        max_bytes=settings.web_event_buffer_mb * 1024 * 1024,
    )
    services = WebServices(
        reader=stores.reader,
        writer=shared,
        preview=stores.preview,
        eraser=stores.eraser,
        letters=sweep,
        exporter=stores.exporter,
        directory=stores.directory,
        entities=stores.entities,
        feed=feed,
        letter_box=KafkaLetterBox(
            list(topics), partial(DeadLetterStore, brokers or settings.kafka_brokers, list(topics))
        ),
        probes=stores.probes,
        clock=SystemClock(),
        tokens=Tokens(lambda: stores.database),
        position=stores.position,
        metrics=lambda: (b"up 1\n", "text/plain; version=0.0.4; charset=utf-8"),
    )
    try:
        yield build(services, settings), stores
        await shared.close()
    finally:
        sweeping.cancel()
        await feed.close()
        await stores.close()


@asynccontextmanager
async def serving(settings: Settings, *, brokers: list[str] | None = None) -> AsyncIterator[Served]:
    """A client of it."""
    async with (
        assembled(settings, brokers=brokers) as (application, stores),
        TestClient(TestServer(application)) as client,
    ):
        yield Served(client, stores)
