"""Alive, ready, and the metrics page."""

from typing import Final

import msgspec
from aiohttp import web

from app.core.api_keys import Scope
from app.core.errors import TransientError
from web.problems import ProblemError
from web.services import GATE, SERVICES

_HEADERS: Final = {
    "Content-Type": "application/json",
    "Cache-Control": "no-store",
}


async def healthz(_request: web.Request) -> web.Response:
    """200 as long as the event loop answers; it asks no dependency.

    The other processes of this worker need no question: what ends or hangs is replaced by the one that started this
    one, and this one ends with that.
    """
    return web.Response(body=b'{"status":"alive"}', headers=_HEADERS)


async def readyz(request: web.Request) -> web.Response:
    """200 when every required dependency is ready, else 503.

    A key with the scope `metrics` is told the state of each one, as of a second ago; strangers are told one word.
    """
    states = await request.app[SERVICES].readiness.states()
    ready = all(state.ready for state in states if state.required)
    body: dict[str, object] = {"status": "ready" if ready else "not ready"}
    if _may_know(request):
        body["dependencies"] = [
            {"name": s.name, "ready": s.ready, "required": s.required, "detail": s.detail}
            | ({} if s.process is None else {"process": s.process})
            for s in states
        ]
    return web.Response(status=200 if ready else 503, body=msgspec.json.encode(body), headers=_HEADERS)


def _may_know(request: web.Request) -> bool:
    gate = request.app[GATE]
    try:
        if gate.closed:
            return gate.recall(request.headers, Scope.METRICS) is not None
        gate.origins.check(request.method, request.headers, request.remote)
    except (ProblemError, TransientError):
        return False
    return True


async def metrics(request: web.Request) -> web.Response:
    """The page that Prometheus scrapes."""
    body, content_type = await request.app[SERVICES].metrics()
    return web.Response(
        body=body,
        headers={
            "Content-Type": content_type,
            "Cache-Control": "no-store",
        },
    )
