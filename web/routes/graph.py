"""The handlers of reads."""

from typing import Final

import msgspec
from aiohttp import web

from app.core.errors import InvalidError
from app.core.models import EntityKey
from app.ports.graph import Answer
from web.bodies.batch import MAX_BATCH, BatchIn
from web.http import bodies, consistency, cursors, parameters, redirects, tree_query
from web.http.paging import next_page
from web.http.raw_response import TreeResponse
from web.http.responses import respond, unless_known
from web.problems import ProblemError
from web.services import SERVICES

_PAGE_PARAMETERS: Final = ("depth", "depthLimit", "period", "startTime", "fields", "types", "as_of", "limit")


_BATCH: Final = msgspec.json.Decoder(BatchIn)


async def get_by_id(request: web.Request) -> TreeResponse | web.Response:
    """The tree of one entity; 301 where it was merged into another one, 404 where there is none."""
    services = request.app[SERVICES]
    entity_id = parameters.entity_id(request.match_info["id"])
    depth, since, selection = tree_query.of(request)
    answer = await services.reader.graph(
        entity_id,
        depth=depth,
        since=since,
        token=await consistency.token(request, services),
        matches=unless_known(request),
        selection=selection,
    )
    if answer is None:
        redirect = await redirects.redirect(request, entity_id, services)
        if redirect is not None:
            return redirect
        raise _no_entity("this id")
    return await respond(request, answer, services)


async def get_by_reference(request: web.Request) -> TreeResponse:
    """The tree of one entity by its type and reference; 404 where there is none."""
    key = EntityKey(
        parameters.entity_type(request.match_info["type"]),
        parameters.entity_reference(request.match_info["reference"]),
    )
    depth, since, selection = tree_query.of(request)
    services = request.app[SERVICES]
    answer = await services.reader.by_reference(
        key,
        depth=depth,
        since=since,
        token=await consistency.token(request, services),
        matches=unless_known(request),
        selection=selection,
    )
    if answer is None:
        raise _no_entity("this type and reference")
    return await respond(request, answer, services)


async def get_by_property(request: web.Request) -> TreeResponse:
    """A page of the trees whose property has the value, in order of id; `[]` where there is none.

    A header `Link: <…>; rel="next"` leads to the next page; without it this one is the last.
    """
    path = parameters.property_path(request.match_info["prop"])
    value = parameters.property_value(request.match_info["value"])
    depth, since, selection = tree_query.of(request)
    limit = parameters.limit(request)
    after = cursors.decode(request.app[SERVICES].signer, parameters.cursor(request), path, value)
    services = request.app[SERVICES]
    answer = await services.reader.by_property(
        path,
        value,
        depth=depth,
        since=since,
        limit=limit,
        after=after,
        token=await consistency.token(request, services),
        matches=unless_known(request),
        selection=selection,
    )
    link = None
    if answer.next_after is not None:
        link = next_page(
            request,
            cursors.encode(services.signer, answer.next_after, path, value),
            _PAGE_PARAMETERS,
        )
    return await respond(request, answer, services, link=link)


async def post_batch(request: web.Request) -> TreeResponse:
    """A JSON array with one item per id, in order: its tree, or null where there is no such entity.

    Of an id that was merged into another one, the item says which.
    """
    depth, since, selection = tree_query.of(request)
    ids = await bodies.read(request, _parse_batch)
    services = request.app[SERVICES]
    if not ids:
        return await respond(request, Answer(body=b"[]", cache="bypass"), services)
    answer = await services.reader.batch(
        ids,
        depth=depth,
        since=since,
        token=await consistency.token(request, services),
        selection=selection,
    )
    return await respond(request, await redirects.told(answer, ids, services), services)


def _parse_batch(body: bytes) -> list[int]:
    ids = bodies.decode(body, _BATCH).entity_ids
    if len(ids) > MAX_BATCH:
        raise InvalidError(
            f"entity_ids has {len(ids)} items; {MAX_BATCH} are the most. Split it.",
            code="too-many-items",
            field="entity_ids",
        )
    return ids


def _no_entity(what: str) -> ProblemError:
    return ProblemError("not-found", f"There is no entity with {what}.")
