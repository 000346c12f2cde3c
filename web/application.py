"""The routes, put together."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import nullcontext, suppress
from functools import partial
from typing import Any, Final, cast

from aiohttp import web

from app.config.settings import Settings
from app.core.api_keys import Scope
from web.auth.gate import Gate, Room
from web.http.deadlines import Deadlines
from web.http.guard import Bounds, GuardedHandler, expecting, guarded
from web.http.quotas import Shares, shared
from web.routes import (
    dead_letters,
    docs,
    erasures,
    events,
    exports,
    graph,
    health,
    index,
    listing,
    provenance,
    writes,
)
from web.routes.page import PAGE, Page
from web.services import GATE, SCOPES, SERVICES, SETTINGS, UNROUTED, WebServices

__all__ = ["WebServices", "build"]

_READ: Final = ("GET", "HEAD")


def build(services: WebServices, settings: Settings, page: Page | None = None) -> web.Application:
    """Make the application. It owns no connection: what the services hold is closed by who opened it.

    A path segment may hold anything but a slash, which is sent as %2F; `sync` and `batch` are not ids.
    """
    deadlines = Deadlines(limit_s=settings.web_request_timeout_s, clock=services.clock)
    # A download takes as long as its reader does.
    downloads = Deadlines(limit_s=settings.web_export_timeout_s, clock=services.clock)
    # A stream has limits of its own, and nobody watches these.
    streams = Deadlines(limit_s=math.inf, clock=services.clock)
    application = web.Application(client_max_size=settings.web_max_body_bytes)
    application.cleanup_ctx.append(partial(_watch, deadlines))
    application.cleanup_ctx.append(partial(_watch, downloads))
    application.on_shutdown.append(_end_streams)
    application[SERVICES] = services
    application[SETTINGS] = settings
    application[PAGE] = page or Page()

    application[GATE] = gate = Gate(
        settings.auth,
        services.keys,
        services.clock,
        allowed_hosts=frozenset(settings.web_allowed_hosts),
    )
    application[SCOPES] = scopes = {}
    usual = Bounds(deadlines=deadlines, room=Room(settings.web_max_in_flight))
    # Each holds a connection to the primary as long as it lasts.
    exported = Bounds(deadlines=downloads, room=Room(settings.web_max_exports))
    # Their number has a limit of its own.
    streamed = Bounds(deadlines=streams, room=nullcontext())
    of_exports = Shares(settings.web_max_exports, "exports", "PROFILE_WEB_MAX_EXPORTS")
    of_streams = Shares(settings.web_event_streams, "streams of events", "PROFILE_WEB_EVENT_STREAMS")
    # Probes, scrapes and descriptions are answered by a server that is full, too.
    free = Bounds(deadlines=deadlines, room=nullcontext())

    def add(
        path: str, handler: GuardedHandler, *methods: str, needs: Scope | None, bounds: Bounds = usual
    ) -> None:
        resource = application.router.add_resource(path)
        surrounded = guarded(handler, resource.canonical, services, gate, bounds, scope=needs)
        expect = expecting(resource.canonical, services, gate, free)
        for method in methods:
            scopes[resource.canonical, method] = needs
            # aiohttp knows responses of its own alone; see web.http.raw_response.
            resource.add_route(method, cast("Any", surrounded), expect_handler=cast("Any", expect))

    read, write, erase, admin = Scope.READ, Scope.WRITE, Scope.ERASE, Scope.ADMIN
    by_id = "/v1/graph/{id:(?!(?:sync|batch)$)[^/]*}"
    by_reference = "/v1/graph/by-reference/{type:[^/]*}/{reference:[^/]*}"
    by_property = "/v1/graph/by-property/{prop:[^/]*}/value/{value:[^/]*}"
    add(by_id, graph.get_by_id, *_READ, needs=read)
    add(by_id, erasures.delete_by_id, "DELETE", needs=erase)
    add(
        "/v1/graph/{id:[^/]*}/export",
        shared(exports.get_export, of_exports),
        *_READ,
        needs=read,
        bounds=exported,
    )
    add("/v1/graph/{id:[^/]*}/provenance", provenance.get_by_id, *_READ, needs=read)
    add(f"{by_reference}/provenance", provenance.get_by_reference, *_READ, needs=read)
    add(
        "/v1/graph/{id:[^/]*}/watch",
        shared(events.get_watch, of_streams),
        *_READ,
        needs=read,
        bounds=streamed,
    )
    add("/v1/events", shared(events.get_events, of_streams), *_READ, needs=read, bounds=streamed)
    add(by_property, graph.get_by_property, *_READ, needs=read)
    add(by_reference, graph.get_by_reference, *_READ, needs=read)
    add(by_reference, erasures.delete_by_reference, "DELETE", needs=erase)
    add("/v1/graph/batch", graph.post_batch, "POST", needs=read)
    add("/v1/entities", listing.get_entities, *_READ, needs=read)
    add("/v1/graph/sync", writes.post_sync, "POST", needs=write)
    add("/v1/temporal/ingest", writes.post_ingest, "POST", needs=write)
    add("/v1/dead-letters", dead_letters.get_dead_letters, *_READ, needs=admin)
    add(
        "/v1/dead-letters/{topic:[^/]*}/{partition:[^/]*}/{offset:[^/]*}/replay",
        dead_letters.post_replay,
        "POST",
        needs=admin,
    )
    _add_free(partial(add, needs=None, bounds=free), application[PAGE])
    add("/metrics", health.metrics, *_READ, needs=Scope.METRICS, bounds=free)
    add(r"/{unrouted:[\s\S]*}", _unrouted, "*", needs=None, bounds=free)
    # What has no path, as the targets of `OPTIONS *` and CONNECT, is no route's: see web.server.connection.
    application[UNROUTED] = cast("Any", guarded(_unrouted, "-", services, gate, free, scope=None))
    return application


def _add_free(add: Callable[..., None], page: Page) -> None:
    """Probes and descriptions, for everybody."""
    add("/healthz", health.healthz, *_READ)
    add("/readyz", health.readyz, *_READ)
    add("/problems/{name:[^/]*}", index.problem, *_READ)
    add("/openapi.json", docs.openapi, *_READ)
    add("/docs", docs.page, *_READ)
    add("/docs/{asset:[^/]*}", docs.asset, *_READ)
    add("/assets/{name:[^/]*}", page.asset, *_READ)
    add("/", index.index, *_READ)


async def _unrouted(request: web.Request) -> web.StreamResponse:
    """Refuse what no other route takes: 405 where one takes the path with another method, else 404."""
    own = request.match_info.route.resource
    allowed: set[str] = set()
    for resource in request.app.router.resources():
        if resource is not own:
            allowed |= (await resource.resolve(request))[1]
    if allowed:
        raise web.HTTPMethodNotAllowed(request.method, allowed)
    raise web.HTTPNotFound


async def _end_streams(application: web.Application) -> None:
    """Before requests in flight are waited for."""
    application[SERVICES].feed.end_streams()


async def _watch(deadlines: Deadlines, _application: web.Application) -> AsyncIterator[None]:
    watcher = asyncio.create_task(deadlines.watch(), name="request deadlines")
    yield
    watcher.cancel()
    with suppress(asyncio.CancelledError):
        await watcher
