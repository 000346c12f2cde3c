"""The handler of the list of entities."""

from aiohttp import web

from web.http import consistency, cursors, parameters
from web.http.paging import next_page
from web.http.raw_response import TreeResponse
from web.http.responses import respond
from web.services import SERVICES

_KEPT = ("type", "limit")


async def get_entities(request: web.Request) -> TreeResponse:
    """A page of entities in order of id; a header `Link: <…>; rel="next"` leads to the next one."""
    kind = parameters.listed_type(request)
    limit = parameters.limit(request)
    after = cursors.decode(request.app[SERVICES].signer, parameters.cursor(request), "", kind or "")
    services = request.app[SERVICES]
    answer = await services.entities.page(
        kind, limit=limit, after=after, token=await consistency.token(request, services)
    )
    link = None
    if answer.next_after is not None:
        link = next_page(
            request, cursors.encode(request.app[SERVICES].signer, answer.next_after, "", kind or ""), _KEPT
        )
    return await respond(request, answer, services, link=link)
