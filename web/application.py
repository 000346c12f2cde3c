"""The routes, put together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial

from aiohttp import web

from app.settings import Settings
from web import graph, health, index, writes
from web.boundary import boundary
from web.deadlines import Deadlines
from web.services import SERVICES, SETTINGS, WebServices

__all__ = ["WebServices", "build"]


def build(services: WebServices, settings: Settings) -> web.Application:
    """Make the application. It owns no connection: what the services hold is closed by who opened it.

    A path segment may hold anything but a slash, which is sent as %2F; `sync` and `batch` are not ids.
    """
    deadlines = Deadlines(limit_s=settings.web_request_timeout_s, clock=services.clock)
    application = web.Application(
        middlewares=[boundary(services, deadlines)], client_max_size=settings.web_max_body_bytes
    )
    application.cleanup_ctx.append(partial(_watch, deadlines))
    application[SERVICES] = services
    application[SETTINGS] = settings
    router = application.router
    router.add_get("/v1/graph/{id:(?!(?:sync|batch)$)[^/]*}", graph.get_by_id)
    router.add_get("/v1/graph/by-property/{prop:[^/]*}/value/{value:[^/]*}", graph.get_by_property)
    router.add_get("/v1/graph/by-reference/{type:[^/]*}/{reference:[^/]*}", graph.get_by_reference)
    router.add_post("/v1/graph/batch", graph.post_batch)
    router.add_post("/v1/graph/sync", writes.post_sync)
    router.add_post("/v1/temporal/ingest", writes.post_ingest)
    router.add_get("/healthz", health.healthz)
    router.add_get("/readyz", health.readyz)
    router.add_get("/metrics", health.metrics)
    router.add_get("/problems/{name:[^/]*}", index.problem)
    router.add_get("/", index.index)
    return application


async def _watch(deadlines: Deadlines, _application: web.Application) -> AsyncIterator[None]:
    watcher = asyncio.create_task(deadlines.watch(), name="request deadlines")
    yield
    watcher.cancel()
    with suppress(asyncio.CancelledError):
        await watcher
