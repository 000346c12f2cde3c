"""The application: a handler for each route of the table, with what surrounds it."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from contextlib import nullcontext, suppress
from functools import partial
from types import MappingProxyType
from typing import Any, Final, cast

from aiohttp import web

from app.config.settings import Settings
from app.core.api_keys import Scope
from app.core.clock import Clock
from app.core.errors import FatalError
from web.auth.gate import Gate, Room
from web.held_answers import HeldAnswers
from web.http.deadlines import Deadlines
from web.http.guard import Bounds, GuardedHandler, expecting, guarded
from web.http.quotas import Shares, shared
from web.route_table import ROUTE_BY_ID, ROUTES, Budget
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
    relationships,
    writes,
)
from web.routes.page import PAGE, Page, page_asset
from web.services import GATE, HELD, SERVICES, SETTINGS, UNROUTED, WebServices

__all__ = ["WebServices", "build"]

HANDLERS: Final[Mapping[str, GuardedHandler]] = {
    "getEntity": graph.get_by_id,
    "eraseEntity": erasures.delete_by_id,
    "findEntitiesByProperty": graph.get_by_property,
    "getEntityByReference": graph.get_by_reference,
    "eraseEntityByReference": erasures.delete_by_reference,
    "getErasure": erasures.get_receipt,
    "getProvenance": provenance.get_by_id,
    "getProvenanceByReference": provenance.get_by_reference,
    "listRelationships": relationships.get_relationships,
    "countRelationships": relationships.get_counts,
    "exportEntity": exports.get_export,
    "getEntities": graph.post_batch,
    "watchEntity": events.get_watch,
    "followEvents": events.get_events,
    "listDeadLetters": dead_letters.get_dead_letters,
    "replayDeadLetter": dead_letters.post_replay,
    "listEntities": listing.get_entities,
    "syncGraph": writes.post_sync,
    "ingestTemporal": writes.post_ingest,
    "getPageAsset": page_asset,
    "getHealth": health.healthz,
    "getReadiness": health.readyz,
    "getMetrics": health.metrics,
    "getDescription": docs.openapi,
    "getDocs": docs.page,
    "getDocsAsset": docs.asset,
    "getProblem": index.problem,
    "getIndex": index.index,
}


def build(services: WebServices, settings: Settings, page: Page | None = None) -> web.Application:
    """Make the application. It owns no connection: what the services hold is closed by who opened it.

    Raises FatalError where a route of the table has no handler, or a handler no route.
    """
    if HANDLERS.keys() != ROUTE_BY_ID.keys():
        odd = ", ".join(sorted(HANDLERS.keys() ^ ROUTE_BY_ID.keys()))
        raise FatalError(f"A route needs an entry in web.route_table and one in web.application: {odd}.")
    application = web.Application(client_max_size=settings.web_max_body_bytes)
    application.on_shutdown.append(_end_streams)
    application[SERVICES] = services
    application[SETTINGS] = settings
    application[HELD] = HeldAnswers(settings.web_held_mb * 1024 * 1024)
    application[PAGE] = page or Page()
    application[GATE] = gate = Gate(
        settings.auth,
        services.keys,
        services.clock,
        allowed_hosts=frozenset(settings.web_allowed_hosts),
        trusted_proxies=frozenset(settings.web_trusted_proxies),
    )
    application.cleanup_ctx.append(partial(_beside, services.readiness.run, "readiness"))
    budgets = _budgets(application, settings, services.clock)
    free = budgets[Budget.FREE]
    shares = {
        Budget.USUAL: Shares(settings.web_max_in_flight, "requests in work", "PROFILE_WEB_MAX_IN_FLIGHT"),
        Budget.EXPORT: Shares(settings.web_max_exports, "exports", "PROFILE_WEB_MAX_EXPORTS"),
        Budget.STREAM: Shares(settings.web_event_streams, "streams of events", "PROFILE_WEB_EVENT_STREAMS"),
    }

    def add(
        path: str,
        methods: Iterable[str],
        handler: GuardedHandler,
        bounds: Bounds,
        scope: Scope | None,
        *,
        modes: Mapping[str, Scope] = MappingProxyType({}),
    ) -> None:
        resource = application.router.add_resource(path)
        surrounded = guarded(handler, resource.canonical, services, gate, bounds, scope=scope, modes=modes)
        expect = expecting(resource.canonical, services, gate, free)
        for method in methods:
            # aiohttp knows responses of its own alone; see web.http.raw_response.
            resource.add_route(method, cast("Any", surrounded), expect_handler=cast("Any", expect))

    for route in ROUTES:
        handler = HANDLERS[route.id]
        if route.budget in shares:
            handler = shared(handler, shares[route.budget])
        add(route.pattern, route.methods, handler, budgets[route.budget], route.scope, modes=route.modes)
    add(r"/{unrouted:[\s\S]*}", "*", _unrouted, free, None)
    # What has no path, as the targets of `OPTIONS *` and CONNECT, is no route's: see web.server.connection.
    application[UNROUTED] = cast("Any", guarded(_unrouted, "-", services, gate, free, scope=None))
    return application


def _budgets(application: web.Application, settings: Settings, clock: Clock) -> dict[Budget, Bounds]:
    requests = Deadlines(limit_s=settings.web_request_timeout_s, clock=clock)
    downloads = Deadlines(limit_s=settings.web_export_timeout_s, clock=clock)
    # A stream has limits of its own, and nobody watches these.
    streams = Deadlines(limit_s=math.inf, clock=clock)
    for watched in (requests, downloads):
        application.cleanup_ctx.append(partial(_beside, watched.watch, "request deadlines"))
    return {
        Budget.USUAL: Bounds(deadlines=requests, room=Room(settings.web_max_in_flight), in_order=True),
        Budget.EXPORT: Bounds(deadlines=downloads, room=Room(settings.web_max_exports)),
        Budget.STREAM: Bounds(deadlines=streams, room=nullcontext()),  # the feed counts them
        Budget.FREE: Bounds(deadlines=requests, room=nullcontext()),
    }


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


async def _beside(
    work: Callable[[], Coroutine[Any, Any, None]], name: str, _application: web.Application
) -> AsyncIterator[None]:
    """Run it for as long as the application serves."""
    task = asyncio.create_task(work(), name=name)
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
