"""The handlers of writes: committed before they answer 202, all of a request or nothing of it."""

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Final

from aiohttp import web

from web import bodies, sync, temporal
from web.services import SERVICES, SETTINGS, WebServices

_ACCEPTED: Final = b'{"status":"sync request accepted for processing"}'
_HEADERS: Final = {
    "Content-Type": "application/json",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}


async def post_sync(request: web.Request) -> web.Response:
    """Upsert entities, properties and relationships. Safe to repeat: last writer wins by date."""
    services, settings = request.app[SERVICES], request.app[SETTINGS]
    asked = await bodies.read(
        request,
        partial(sync.parse, max_items=settings.web_max_items, max_value_bytes=settings.max_value_bytes),
    )
    if len(asked):
        now, types = await asyncio.gather(services.writer.now(), _types_of(services, asked.untyped))
        await services.writer.write(asked.rows(now=now, types=types))
    return _accepted()


async def post_ingest(request: web.Request) -> web.Response:
    """Upsert points of time series. Safe to repeat."""
    services, settings = request.app[SERVICES], request.app[SETTINGS]
    batch = await bodies.read(
        request,
        partial(temporal.parse, max_items=settings.web_max_items, max_value_bytes=settings.max_value_bytes),
    )
    if len(batch):
        await services.writer.write(batch)
    return _accepted()


async def _types_of(services: WebServices, references: list[str]) -> Mapping[str, list[str]]:
    return await services.directory.types_of(references) if references else {}


def _accepted() -> web.Response:
    return web.Response(status=202, body=_ACCEPTED, headers=_HEADERS)
