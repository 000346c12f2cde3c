"""The handlers of the change feed: Server-Sent Events, resumable with Last-Event-ID. See docs/events.md."""

from aiohttp import web

from web.events import sse
from web.events.filters import Tree, of_entity
from web.http import parameters, redirects
from web.problems import ProblemError
from web.services import SERVICES


async def get_events(request: web.Request) -> web.StreamResponse:
    """Domain events as they come, of one entity or all, of some types or all."""
    entity, types = parameters.followed(request), parameters.event_types(request)
    interest = await of_entity(entity, types, request.app[SERVICES])
    return await sse.serve(request, interest)


async def get_watch(request: web.Request) -> web.StreamResponse:
    """Domain events about the entities of one tree; 301 and 404 as for the tree."""
    services = request.app[SERVICES]
    entity_id = parameters.entity_id(request.match_info["id"])
    depth = parameters.depth(request.rel_url.query)
    tree = Tree(entity_id, depth=depth, types=parameters.event_types(request), services=services)
    if not await tree.exists():
        redirect = await redirects.redirect(request, entity_id, services, below="/watch")
        if redirect is not None:
            return redirect
        raise ProblemError("not-found", "There is no entity with this id.")
    return await sse.serve(request, tree)
