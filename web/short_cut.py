"""The way of the most frequent request past the router: GET /v1/graph/{id}.

aiohttp's router tries the patterns of all resources below /v1/graph and makes a match for each request. The handler
behind both ways is the same one.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from web import graph
from web.boundary import guarded
from web.deadlines import Deadlines
from web.services import WebServices
from web.tree_response import TreeResponse

ROUTE: Final = "/v1/graph/{id}"
_PATH: Final = re.compile(r"/v1/graph/([0-9]{1,19})")
_ID: Final = web.RequestKey("id", str)

Dispatch = Callable[[web.Request], Awaitable[web.StreamResponse | TreeResponse]]


class ShortCut:
    """Dispatches what it knows, and all else to the router."""

    def __init__(self, services: WebServices, deadlines: Deadlines) -> None:
        async def by_id(request: web.Request) -> TreeResponse | web.Response:
            return await graph.tree_by_id(request, services, request[_ID])

        self._by_id = guarded(by_id, ROUTE, services, deadlines)

    def before(self, router: Dispatch) -> Dispatch:
        """The dispatch that tries the short cut first."""
        by_id, match_path = self._by_id, _PATH.fullmatch

        async def dispatch(request: web.Request) -> web.StreamResponse | TreeResponse:
            found = match_path(request.rel_url.raw_path) if request.method == "GET" else None
            # A client that asks first whether it may go on is the router's.
            if found is None or "Expect" in request.headers:
                return await router(request)
            request[_ID] = found[1]
            return await by_id(request)

        return dispatch


SHORT_CUT: Final = web.AppKey("short_cut", ShortCut)
