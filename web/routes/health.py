"""Alive, ready, and the metrics page."""

from typing import Final

import msgspec
from aiohttp import web

from app.observability.readiness import states_of
from web.services import SERVICES

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
    """200 when every required dependency is ready, else 503; both with each one's state as asked now."""
    probes = request.app[SERVICES].probes
    states = await states_of(probes)
    ready = all(state.ready for state in states if state.required)
    body = {
        "status": "ready" if ready else "not ready",
        "dependencies": [
            {"name": s.name, "ready": s.ready, "required": s.required, "detail": s.detail}
            | ({} if s.process is None else {"process": s.process})
            for s in states
        ],
    }
    return web.Response(status=200 if ready else 503, body=msgspec.json.encode(body), headers=_HEADERS)


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
