"""Alive, ready, and the metrics page."""

import asyncio
import logging
from typing import Final

import msgspec
from aiohttp import web

from app.core.attention import attended_timeout
from app.ports.health import DependencyState, Probe
from web.services import SERVICES

logger = logging.getLogger(__name__)

PROBE_TIMEOUT_S: Final = 2.0
_HEADERS: Final = {
    "Content-Type": "application/json",
    "Cache-Control": "no-store",
}


async def healthz(_request: web.Request) -> web.Response:
    """200 as long as the event loop answers; it asks no dependency."""
    return web.Response(body=b'{"status":"alive"}', headers=_HEADERS)


async def readyz(request: web.Request) -> web.Response:
    """200 when every required dependency is ready, else 503; both with each one's state as asked now."""
    probes = request.app[SERVICES].probes
    states = [state for states in await asyncio.gather(*map(_ask, probes)) for state in states]
    ready = all(state.ready for state in states if state.required)
    body = {
        "status": "ready" if ready else "not ready",
        "dependencies": [
            {"name": s.name, "ready": s.ready, "required": s.required, "detail": s.detail} for s in states
        ],
    }
    return web.Response(status=200 if ready else 503, body=msgspec.json.encode(body), headers=_HEADERS)


async def metrics(request: web.Request) -> web.Response:
    """The page that Prometheus scrapes."""
    body, content_type = request.app[SERVICES].metrics()
    return web.Response(
        body=body,
        headers={
            "Content-Type": content_type,
            "Cache-Control": "no-store",
        },
    )


async def _ask(probe: Probe) -> list[DependencyState]:
    name = type(probe).__name__
    try:
        async with attended_timeout(PROBE_TIMEOUT_S):
            return await probe.check()
    except TimeoutError:
        detail = f"no answer within {PROBE_TIMEOUT_S:g} s"
    except Exception as error:  # noqa: BLE001 - a probe that breaks is a dependency that is not ready
        detail = f"the probe failed with {type(error).__name__}"
    logger.warning("%s: %s", name, detail)
    return [DependencyState(name=name, ready=False, required=True, detail=detail)]
