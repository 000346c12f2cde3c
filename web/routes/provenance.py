"""The handlers of provenance: for each property the date that won, and where the statement came from."""

from aiohttp import web

from app.core.models import EntityKey
from web.http import consistency, parameters, redirects
from web.http.raw_response import TreeResponse
from web.http.responses import respond, unless_known
from web.problems import ProblemError
from web.services import SERVICES, SETTINGS


async def get_by_id(request: web.Request) -> TreeResponse | web.Response:
    """Of one entity; 301 where it was merged into another one, 404 where there is none."""
    entity_id = parameters.entity_id(request.match_info["id"])
    _require_kept(request)
    services = request.app[SERVICES]
    answer = await services.provenance.by_id(
        entity_id, token=await consistency.token(request, services), matches=unless_known(request)
    )
    if answer is None:
        redirect = await redirects.redirect(request, entity_id, services, below="/provenance")
        if redirect is not None:
            return redirect
        raise ProblemError("not-found", "There is no entity with this id.")
    return await respond(request, answer, services)


async def get_by_reference(request: web.Request) -> TreeResponse:
    """Of one entity by its type and reference; 404 where there is none."""
    key = EntityKey(
        parameters.entity_type(request.match_info["type"]),
        parameters.entity_reference(request.match_info["reference"]),
    )
    _require_kept(request)
    services = request.app[SERVICES]
    answer = await services.provenance.by_reference(
        key, token=await consistency.token(request, services), matches=unless_known(request)
    )
    if answer is None:
        raise ProblemError("not-found", "There is no entity with this type and reference.")
    return await respond(request, answer, services)


def _require_kept(request: web.Request) -> None:
    if not request.app[SETTINGS].provenance:
        raise ProblemError("provenance-off", "This server does not keep where statements come from.")
