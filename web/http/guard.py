"""What surrounds every handler: request id, time limit, errors to problems, access log.

It wraps handlers as routes are made; aiohttp's middlewares cost more and know the route no better.

Of an unexpected error the log holds its class and place and never its message, which may quote a row.
"""

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from aiohttp import HttpVersion11, web

from app.core.api_keys import Scope
from app.core.arrival import ARRIVED_AT, ASKER
from app.core.errors import (
    AmbiguousReferenceError,
    BusyError,
    FatalError,
    InvalidError,
    TooDearError,
    TransientError,
)
from app.core.log_events import LogEvent
from app.observability import tracing
from web import problems
from web.auth.gate import Gate
from web.http import costs, parameters, security_headers
from web.http.access_log import REQUEST_ID, SERVER_ERROR, Accesses, request_id_of
from web.http.audit_log import Refusals
from web.http.deadlines import Deadlines
from web.http.raw_response import TreeResponse
from web.problems import ProblemError
from web.services import WebServices

if TYPE_CHECKING:
    from web.auth.api_key_cache import Grant

logger = logging.getLogger(__name__)

SERVER_NAME: Final = "user-profile"  # and no versions
CACHE_OUTCOME: Final = web.RequestKey("cache_outcome", str)  # set by a handler that read the graph
GIVEN_REQUEST_ID: Final = web.RequestKey("request_id", str)  # for what is told before the handler returns
KEY_ID: Final = web.RequestKey("key_id", str)  # of the API key that let it in, if any
ANSWERED_AT: Final = web.RequestKey("answered_at", float)  # of a stream: when its first byte was sent
READING_BODY: Final = web.RequestKey("reading_body", bool)  # true while the body arrives

_REFUSED: Final = (401, 403)
_RETRY_AFTER_S: Final = "1"
_READS: Final = ("GET", "HEAD")
_BY_STATUS: Final = {
    404: "not-found",
    405: "method-not-allowed",
    413: "content-too-large",
    415: "unsupported-media-type",
}


GuardedHandler = Callable[[web.Request], Awaitable[web.StreamResponse | TreeResponse]]
Expectation = Callable[[web.Request], Awaitable[web.StreamResponse | TreeResponse | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a kind of requests may take: time, and how many there may be at once.

    `in_order`: what they read is read in the order of their arrival; else each read counts from when it begins.
    """

    deadlines: Deadlines
    room: AbstractContextManager[None]
    in_order: bool = False


def guarded(
    handler: GuardedHandler,
    route: str,
    services: WebServices,
    gate: Gate,
    bounds: Bounds,
    *,
    scope: Scope | None,
    modes: Mapping[str, Scope] = MappingProxyType({}),
) -> GuardedHandler:
    """Wrap a handler; `route` is its path's template. The result never raises but for cancellation.

    `scope` is what a key needs where the gate is closed; None is for everybody. `modes` are flags that need more.
    """
    deadlines, room, in_order = bounds.deadlines, bounds.room, bounds.in_order
    clock = services.clock
    accesses = Accesses(services.observe)
    refusals = Refusals(clock)

    async def handle(request: web.Request) -> web.StreamResponse | TreeResponse:
        started = clock.monotonic()
        grant = None
        request[GIVEN_REQUEST_ID] = request_id = request_id_of(request.headers)
        ARRIVED_AT.set(started if in_order else None)
        ASKER.set(None)  # the requests of a connection share a task
        try:
            with deadlines.begin(started), room:
                if scope is not None:
                    grant = await _let_in(request, gate, scope, modes)
                response: web.StreamResponse | TreeResponse = await handler(request)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - the boundary answers everything
            response = _answer(request, route, request_id, error)
        if isinstance(response, TreeResponse):
            response.request_id = request_id
        else:
            response.headers[REQUEST_ID] = request_id
            response.headers["Server"] = SERVER_NAME
            for header, value in security_headers.HEADERS.items():
                response.headers.setdefault(header, value)
        ended = clock.monotonic()
        elapsed_s = (request.get(ANSWERED_AT) or ended) - started
        cost = 0
        if grant is not None:
            cost = costs.beyond_one(request, response, elapsed_s)
            if cost:
                grant.charge(cost, ended)
        if response.status in _REFUSED:
            refusals.note(request, route, response.status, request_id)
        accesses.note(
            request.method,
            route,
            response.status,
            elapsed_s=elapsed_s,
            cache=request.get(CACHE_OUTCOME, "-"),
            request_id=request_id,
            key_id=request.get(KEY_ID),
            cost=1 + cost,
        )
        return response

    return tracing.traced(handle, route)


async def _let_in(
    request: web.Request, gate: Gate, scope: Scope, modes: Mapping[str, Scope]
) -> "Grant | None":
    """The grant of its key; None where none is asked for. Raises ProblemError or TransientError."""
    if not gate.closed:
        gate.origins.check(request.method, request.headers, request.remote)
        return None
    grant = await gate.admit(request.headers, scope)
    request[KEY_ID] = grant.key.id
    ASKER.set(grant.key.id)
    for flag, more in modes.items():
        if parameters.flag(request, flag):
            gate.require(grant, more, of=f"{flag}=true")
    return grant


def expecting(route: str, services: WebServices, gate: Gate, bounds: Bounds) -> Expectation:
    """What a route does with the header Expect, before its handler: 100, or 417 in the handler's stead."""

    async def refuse(_request: web.Request) -> web.StreamResponse:
        raise ProblemError("expectation-failed", "The header Expect holds something else than 100-continue.")

    refused = guarded(refuse, route, services, gate, bounds, scope=None)

    async def expect(request: web.Request) -> web.StreamResponse | TreeResponse | None:
        if request.version != HttpVersion11:
            return None
        if request.headers["Expect"].lower() != "100-continue":
            return await refused(request)
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the answer has not begun
        return None

    return expect


def _answer(request: web.Request, route: str, request_id: str, error: Exception) -> web.Response:
    name, detail, status = "internal-error", "Something unexpected happened; nothing more is told here.", None
    members: dict[str, object] = {}
    headers: dict[str, str] = {}
    match error:
        case ProblemError():
            name, detail, members, headers = (
                error.name,
                error.detail,
                dict(error.members),
                dict(error.headers),
            )
        case web.HTTPException():
            name, detail, status = _of_http(error, request)
            if "Allow" in error.headers:
                headers["Allow"] = ", ".join(sorted(error.headers["Allow"].replace(" ", "").split(",")))
        case InvalidError():
            is_read = request.method in _READS
            name, detail = "invalid-parameter" if is_read else "invalid-content", str(error)
            members = {"code": error.code}
            if error.field is not None:
                members["parameter" if is_read else "field"] = error.field
            if isinstance(error, AmbiguousReferenceError):
                name = "ambiguous-reference"
                members["candidates"] = error.candidates
        case BusyError():
            name, detail = "unavailable", str(error)
            headers["Retry-After"] = str(error.retry_after_s)
        case TooDearError():
            name, detail = "timeout", str(error)
        case TransientError():
            name, detail = "unavailable", "A dependency is not available now; try again in a moment."
            headers["Retry-After"] = _RETRY_AFTER_S
        case TimeoutError() if request.get(READING_BODY):
            name, detail = "request-timeout", "The body did not arrive in time; send it again."
        case TimeoutError():
            name, detail = "timeout", "The request took longer than the server allows and was stopped."
        case _:
            pass
    _log(error, name, request.method, route=route, request_id=request_id)
    return problems.response(
        name,
        detail,
        request_id=request_id,
        instance=problems.instance_of(request.rel_url.raw_path),
        status=status,
        members=members,
        headers=headers,
    )


def _of_http(error: web.HTTPException, request: web.Request) -> tuple[str, str, int | None]:
    name = _BY_STATUS.get(error.status)
    if name is None:
        return "http-error", f"{error.reason}.", error.status
    detail = {
        "not-found": "No route answers to this path; GET / lists them.",
        "method-not-allowed": f"{request.method} is not allowed here.",
        "content-too-large": f"The body is larger than {request.client_max_size} bytes; split it.",
    }.get(name, f"{error.reason}.")
    return name, detail, None


def _log(error: Exception, name: str, method: str, *, route: str, request_id: str) -> None:
    if problems.PROBLEMS[name].status < SERVER_ERROR:
        return
    level = logging.WARNING if name in ("unavailable", "overloaded", "timeout") else logging.ERROR
    if isinstance(error, FatalError):
        level = logging.CRITICAL
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}" if frames else "nowhere"
    logger.log(
        level,
        "%s %s failed with %s at %s",
        method,
        route,
        type(error).__name__,
        place,
        extra={"request_id": request_id, **LogEvent.REQUEST_FAILED.extra},
    )
