"""The handlers of one entity's relationships, from either end."""

from aiohttp import web

from web.http import consistency, cursors, parameters, redirects
from web.http.paging import next_page
from web.http.raw_response import TreeResponse
from web.http.responses import respond, unless_known
from web.problems import ProblemError
from web.services import SERVICES

_KEPT = ("direction", "type", "entity_type", "limit")


async def get_relationships(request: web.Request) -> TreeResponse | web.Response:
    """A page, in the order of app.ports.graph.EdgePlace; a header `Link: <…>; rel="next"` leads to the next one.

    301 where the entity was merged into another one, 404 where there is none.
    """
    entity_id = parameters.entity_id(request.match_info["id"])
    direction = parameters.direction(request)
    kind, other = parameters.relationship_type(request), parameters.other_type(request)
    limit = parameters.limit(request)
    asked = (str(entity_id), direction, kind or "", other or "")
    after = cursors.decode_edge(request.app[SERVICES].signer, parameters.cursor(request), asked)
    services = request.app[SERVICES]
    page = await services.relationships.page(
        entity_id,
        direction=direction,
        relationship_type=kind,
        entity_type=other,
        limit=limit,
        after=after,
        token=await consistency.token(request, services),
        matches=unless_known(request),
    )
    if page is None:
        return await _elsewhere(request, entity_id, "/relationships")
    link = None
    if page.next_after is not None:
        link = next_page(
            request, cursors.encode_edge(request.app[SERVICES].signer, page.next_after, asked), _KEPT
        )
    return await respond(request, page.answer, services, link=link)


async def get_counts(request: web.Request) -> TreeResponse | web.Response:
    """How many there are of each kind, in both directions; 301 and 404 as above."""
    entity_id = parameters.entity_id(request.match_info["id"])
    services = request.app[SERVICES]
    answer = await services.relationships.counts(
        entity_id, token=await consistency.token(request, services), matches=unless_known(request)
    )
    if answer is None:
        return await _elsewhere(request, entity_id, "/relationships/counts")
    return await respond(request, answer, services)


async def _elsewhere(request: web.Request, entity_id: int, below: str) -> web.Response:
    redirect = await redirects.redirect(request, entity_id, request.app[SERVICES], below=below)
    if redirect is None:
        raise ProblemError("not-found", "There is no entity with this id.")
    return redirect
