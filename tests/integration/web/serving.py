"""The whole HTTP surface on real stores, and the sweep of dead letters beside it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from app.config.settings import Settings
from app.core.clock import SystemClock
from app.core.consistency_token import Tokens
from app.core.signing import Signer
from app.dead_letters.queue import KafkaLetterBox
from app.dead_letters.store import DeadLetterStore
from app.erasure.at_log_ends import ErasureAtLogEnds
from app.erasure.sweeper import LetterSweep
from app.feed.feed import ChangeFeed
from app.feed.log import KafkaEventLog
from app.kafka.log_ends import KafkaLogEnds
from app.kafka.topic_configs import KafkaTopicConfigs
from app.observability.readiness import Readiness
from storage.stores import Stores
from storage.write.group_commit import SharedWriter
from web.application import WebServices, build
from web.auth.api_key_cache import KeyRing

Client = TestClient[Any, Any]


@dataclass
class Served:
    client: Client
    stores: Stores


async def metrics_page() -> tuple[bytes, str]:
    return b"up 1\n", "text/plain; version=0.0.4; charset=utf-8"


@asynccontextmanager
async def assembled(
    settings: Settings, *, brokers: list[str] | None = None, keys_refresh_s: float = 60.0
) -> AsyncIterator[tuple[web.Application, Stores]]:
    """The application on real stores; `brokers` are those of dead letters and of events."""
    names = settings.topics
    topics = {**dict.fromkeys(names.sources, False), **dict.fromkeys((*names.normalised, names.cdc), True)}
    stores = await Stores.open(settings)
    shared = SharedWriter(stores.writer, max_rows=settings.window_max_records)
    sweep = LetterSweep(
        stores.erasures,
        partial(DeadLetterStore, brokers or settings.kafka, list(topics)),
        topics,
        interval_s=0.5,
    )
    sweeping = asyncio.create_task(sweep.run())
    keys = KeyRing(stores.keys, SystemClock(), refresh_s=keys_refresh_s, outage_s=3600)
    await keys.read()
    refreshing = asyncio.create_task(keys.run())
    store = partial(DeadLetterStore, brokers or settings.kafka, list(topics))
    signer = Signer(await stores.keys.signing_key())
    feed = ChangeFeed(
        names.domain_events,
        partial(KafkaEventLog, brokers or settings.kafka, names.domain_events),
        signer=signer,
        max_streams=settings.web_event_streams,
        max_bytes=settings.web_event_buffer_mb * 1024 * 1024,
    )
    log_ends = KafkaLogEnds(brokers or settings.kafka, list(topics))
    services = WebServices(
        feed=feed,
        letter_box=KafkaLetterBox(list(topics), store),
        reader=stores.reader,
        writer=shared,
        preview=stores.preview,
        eraser=ErasureAtLogEnds(stores.eraser, log_ends),
        log_ends=log_ends,
        topic_configs=KafkaTopicConfigs(
            brokers or settings.kafka, [spec.name for spec in settings.topic_specs], SystemClock()
        ),
        letters=sweep,
        exporter=stores.exporter,
        directory=stores.directory,
        entities=stores.entities,
        relationships=stores.relationships,
        provenance=stores.provenance,
        readiness=Readiness(stores.probes, SystemClock(), every_s=0),
        clock=SystemClock(),
        tokens=Tokens(lambda: stores.database, signer),
        signer=signer,
        position=stores.position,
        metrics=metrics_page,
        keys=keys,
    )
    try:
        yield build(services, settings), stores
        await shared.close()
    finally:
        for task in (sweeping, refreshing):
            task.cancel()
        # They close their connections on the way out.
        await asyncio.gather(sweeping, refreshing, return_exceptions=True)
        await feed.close()
        await log_ends.close()
        await stores.close()


@asynccontextmanager
async def serving(
    settings: Settings, *, brokers: list[str] | None = None, keys_refresh_s: float = 60.0
) -> AsyncIterator[Served]:
    """A client of it."""
    async with (
        assembled(settings, brokers=brokers, keys_refresh_s=keys_refresh_s) as (application, stores),
        TestClient(TestServer(application)) as client,
    ):
        yield Served(client, stores)
