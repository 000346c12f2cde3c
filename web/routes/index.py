"""`/` and `/problems/…`: where a visitor finds the way."""

from typing import Final

import msgspec
from aiohttp import web

from web.problems import PROBLEMS, ProblemError
from web.routes.page import BUILD_IT, PAGE, wants_html

_HEADERS: Final = {
    "Content-Type": "application/json",
    "Cache-Control": "no-cache",
}
_TREE: Final = "depth,period,as_of,fields,types"
ROUTES: Final = {
    "name": "User Profile",
    "description": "Real-time profiles: entities, their relationships and time series, as one graph.",
    "links": {
        "graph": f"/v1/graph/{{id}}{{?{_TREE}}}",
        "graph_by_property": f"/v1/graph/by-property/{{prop}}/value/{{value}}{{?{_TREE},limit,cursor}}",
        "graph_by_reference": f"/v1/graph/by-reference/{{type}}/{{reference}}{{?{_TREE}}}",
        "graph_provenance": "/v1/graph/{id}/provenance",
        "graph_provenance_by_reference": "/v1/graph/by-reference/{type}/{reference}/provenance",
        "graph_export": "/v1/graph/{id}/export",
        "graph_batch": f"/v1/graph/batch{{?{_TREE}}}",
        "graph_watch": "/v1/graph/{id}/watch{?depth,type,last_event_id}",
        "events": "/v1/events{?entity,type,last_event_id}",
        "dead_letters": "/v1/dead-letters{?topic,payload,limit,cursor}",
        "dead_letter_replay": "/v1/dead-letters/{topic}/{partition}/{offset}/replay",
        "entities": "/v1/entities{?type,limit,cursor}",
        "graph_sync": "/v1/graph/sync{?dry_run}",
        "temporal_ingest": "/v1/temporal/ingest{?dry_run}",
        "page_assets": "/assets/{name}",
        "health": "/healthz",
        "readiness": "/readyz",
        "metrics": "/metrics",
        "openapi": "/openapi.json",
        "docs": "/docs",
        "problems": [problem.type for problem in PROBLEMS.values()],
    },
}


_INDEX: Final = msgspec.json.encode(ROUTES)
_INDEX_WITHOUT_PAGE: Final = msgspec.json.encode({**ROUTES, "page": BUILD_IT})


async def index(request: web.Request) -> web.Response:
    """Profile Explorer for browsers; for all others the routes, as URI templates (RFC 6570)."""
    page = request.app[PAGE]
    if page.built and wants_html(request.headers.get("Accept", "")):
        return page.index(request)
    body = _INDEX if page.built else _INDEX_WITHOUT_PAGE
    return web.Response(body=body, headers={**_HEADERS, "Vary": "Accept"})


async def problem(request: web.Request) -> web.Response:
    """What a problem's `type` means."""
    found = PROBLEMS.get(request.match_info["name"])
    if found is None:
        raise ProblemError("not-found", "There is no problem of this name; GET / lists them.")
    body = {
        "type": found.type,
        "title": found.title,
        "status": found.status,
        "meaning": found.meaning,
    }
    return web.Response(body=msgspec.json.encode(body), headers=_HEADERS)
