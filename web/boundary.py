"""What surrounds every handler: request id, time limit, errors to problems, access log.

It wraps handlers as routes are made; aiohttp's middlewares cost more and know the route no better.

Logs hold the route's template and never the path, whose values may be somebody's e-mail address; of an
unexpected error they hold its class and place and never its message, which may quote a row.
"""

import asyncio
import itertools
import logging
import re
import secrets
import traceback
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from app.errors import AmbiguousReferenceError, FatalError, InvalidError, TransientError
from web import problems
from web.deadlines import Deadlines
from web.problems import ProblemError
from web.services import WebServices
from web.tree_response import TreeResponse

logger = logging.getLogger(__name__)
access = logging.getLogger("web.access")

REQUEST_ID: Final = "X-Request-Id"
SERVER_NAME: Final = "user-profile"  # and no versions
CACHE_OUTCOME: Final = web.RequestKey("cache_outcome", str)  # set by a handler that read the graph
GIVEN_REQUEST_ID: Final = web.RequestKey("request_id", str)  # for what is told before the handler returns
READING_BODY: Final = web.RequestKey("reading_body", bool)  # true while the body arrives

_GOOD_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:\-]{1,128}")
_PROCESS: Final = secrets.token_hex(10)
_NUMBERS: Final = itertools.count(1)
_RETRY_AFTER_S: Final = "1"
_SERVER_ERROR: Final = 500
_READS: Final = ("GET", "HEAD")
_BY_STATUS: Final = {
    404: "not-found",
    405: "method-not-allowed",
    413: "content-too-large",
    415: "unsupported-media-type",
}


GuardedHandler = Callable[[web.Request], Awaitable[web.StreamResponse | TreeResponse]]


def guarded(
    handler: GuardedHandler, route: str, services: WebServices, deadlines: Deadlines
) -> GuardedHandler:
    """Wrap a handler; `route` is its path's template. The result never raises but for cancellation."""
    clock = services.clock
    observe = services.observe

    async def handle(request: web.Request) -> web.StreamResponse | TreeResponse:
        started = clock.monotonic()
        request[GIVEN_REQUEST_ID] = request_id = _request_id(request)
        try:
            with deadlines.begin(started):
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
        elapsed_s = clock.monotonic() - started
        cache = request.get(CACHE_OUTCOME, "-")
        if observe is not None:
            observe(route, response.status, elapsed_s, cache)
        # Whoever finds a line for each read too dear sets `web.access` to WARNING and keeps the failures.
        level = logging.WARNING if response.status >= _SERVER_ERROR else logging.INFO
        if access.isEnabledFor(level):
            _log_access(
                level,
                method=request.method,
                route=route,
                status=response.status,
                ms=round(elapsed_s * 1000, 3),
                cache=cache,
                request_id=request_id,
            )
        return response

    return handle


def _log_access(
    level: int, *, method: str, route: str, status: int, ms: float, cache: str, request_id: str
) -> None:
    # Made by hand, since Logger.info walks the stack to find its caller.
    record = logging.LogRecord(
        access.name,
        level,
        __file__,
        0,
        "%s %s %d %.1f ms %s",
        (method, route, status, ms, cache),
        None,
        "access",
    )
    record.__dict__.update(
        method=method, route=route, status=status, ms=ms, cache=cache, request_id=request_id
    )
    access.handle(record)


def _request_id(request: web.Request) -> str:
    given = request.headers.get(REQUEST_ID)
    if given is not None and _GOOD_REQUEST_ID.fullmatch(given):
        return given
    # Unique, which is all that it has to be; to ask the system for chance each time takes longer than the answer.
    return f"{_PROCESS}{next(_NUMBERS):012x}"


def _answer(request: web.Request, route: str, request_id: str, error: Exception) -> web.Response:
    name, detail, status = "internal-error", "Something unexpected happened; nothing more is told here.", None
    members: dict[str, object] = {}
    headers: dict[str, str] = {}
    match error:
        case ProblemError():
            name, detail, members = error.name, error.detail, dict(error.members)
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
    if problems.PROBLEMS[name].status < _SERVER_ERROR:
        return
    level = logging.WARNING if name in ("unavailable", "timeout") else logging.ERROR
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
        extra={"request_id": request_id},
    )
