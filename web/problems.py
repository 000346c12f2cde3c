"""Errors as RFC 9457 problem details: one catalogue, one way to say them.

A problem's `type` is a path on this server that explains it in a line. A detail names the cause and the
way out; it never holds a stack trace or a message of a driver.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

import msgspec
from aiohttp import web

CONTENT_TYPE: Final = "application/problem+json"
_PATH_SAFE: Final = "/%:@!$&'()*+,;=~-._"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One kind of problem, as `/problems/{name}` explains it."""

    name: str
    status: int
    title: str
    meaning: str

    @property
    def type(self) -> str:
        return f"/problems/{self.name}"


_ALL: Final = (
    Problem(
        name="invalid-parameter",
        status=400,
        title="A parameter is not valid",
        meaning="A part of the path or a query parameter is malformed, out of range, repeated, or differs "
        "from its alias; `parameter` names it. Correct it and send the request again.",
    ),
    Problem(
        name="malformed-request",
        status=400,
        title="The request can't be read",
        meaning="The request is not well-formed HTTP, or its body is not well-formed JSON in UTF-8.",
    ),
    Problem(
        name="unauthorized",
        status=401,
        title="An API key is needed",
        meaning="Send a key as `Authorization: Bearer <key>`: none came, or it is not known, was revoked, or "
        "has expired. `python -m app keys create` makes one.",
    ),
    Problem(
        name="forbidden",
        status=403,
        title="The API key lacks a scope",
        meaning="`scope` names what the key would have to be allowed: read, write, erase or admin. Ask for a key "
        "that has it.",
    ),
    Problem(
        name="cross-site",
        status=403,
        title="A page of another site sent this",
        meaning="Where no API key is asked for, a browser's page may change something only if it came from this "
        "server: Sec-Fetch-Site or Origin say that it did not. Open the page by the server's own address, name the "
        "proxy before it in PROFILE_WEB_ALLOWED_HOSTS, or make a key.",
    ),
    Problem(
        name="proxied",
        status=403,
        title="It came through a proxy, and no key is asked for",
        meaning="A server that asks for no API key is for this machine alone. Forwarded, Via or X-Forwarded-… say that "
        "somebody else's request was passed on to it. Make a key, or name the proxy in PROFILE_WEB_TRUSTED_PROXIES.",
    ),
    Problem(
        name="not-found",
        status=404,
        title="There is no such resource",
        meaning="No route or entity answers to this address.",
    ),
    Problem(
        name="provenance-off",
        status=404,
        title="Provenance is not kept here",
        meaning="The setting PROFILE_PROVENANCE is off: this server neither notes where statements come from nor tells "
        "it. Dates of properties stand in their entity's tree.",
    ),
    Problem(
        name="method-not-allowed",
        status=405,
        title="The method is not allowed here",
        meaning="The header Allow names the methods that are.",
    ),
    Problem(
        name="not-replayable",
        status=409,
        title="The dead letter can't be replayed",
        meaning="Its record has no value, or Kafka refuses it for its size or time. The letter stays as it is.",
    ),
    Problem(
        name="merged",
        status=409,
        title="The entity is one with another one now",
        meaning="The id was that of a placeholder, and `moved_to` is that of the entity that it became. Nothing was "
        "erased: erase that one, if it is meant.",
    ),
    Problem(
        name="request-timeout",
        status=408,
        title="The body took too long",
        meaning="The body did not arrive in time; send it again.",
    ),
    Problem(
        name="content-too-large",
        status=413,
        title="The body is too large",
        meaning="Split it: the limit is the setting PROFILE_WEB_MAX_BODY_BYTES.",
    ),
    Problem(
        name="uri-too-long",
        status=414,
        title="The request line is too long",
        meaning="A request line has 8,190 bytes at most. Look entities up by POST /v1/graph/batch, or by a shorter "
        "value. The connection is closed.",
    ),
    Problem(
        name="unsupported-media-type",
        status=415,
        title="The body is not plain JSON",
        meaning="Send UTF-8 with the header `Content-Type: application/json`, and without Content-Encoding: bodies are "
        "taken as they are, never compressed.",
    ),
    Problem(
        name="expectation-failed",
        status=417,
        title="The expectation can't be met",
        meaning="The header Expect may hold `100-continue` and nothing else. Send the request without it.",
    ),
    Problem(
        name="unknown-host",
        status=421,
        title="The server is not asked by its name",
        meaning="Where no API key is asked for, the header Host has to be localhost, a loopback address, "
        "PROFILE_WEB_HOST or one of PROFILE_WEB_ALLOWED_HOSTS: any other name may be a page's that wants to pass for "
        "this server. Name it there, or make a key.",
    ),
    Problem(
        name="invalid-content",
        status=422,
        title="The body's content is not valid",
        meaning="The body is JSON, but a field is missing, unknown, repeated, has another type, contradicts another "
        "one, or holds what can't be stored; "
        "`field` is its path and `code` the reason. Nothing of the request was written.",
    ),
    Problem(
        name="ambiguous-reference",
        status=422,
        title="A reference is ambiguous",
        meaning="Several entities bear the reference; `candidates` holds their types. Name source_type or "
        "target_type in the relationship. Nothing of the request was written.",
    ),
    Problem(
        name="too-many-requests",
        status=429,
        title="The API key asks too often",
        meaning="It has used up its rate of requests. The header Retry-After says when to try again.",
    ),
    Problem(
        name="headers-too-large",
        status=431,
        title="The headers are too large",
        meaning="A header has 8,192 bytes at most, its name included, and a request 128 headers. The connection is "
        "closed.",
    ),
    Problem(
        name="http-error",
        status=400,
        title="The request can't be served",
        meaning="The status code says why.",
    ),
    Problem(
        name="internal-error",
        status=500,
        title="Something unexpected happened",
        meaning="This is a defect of the service. The log has a line with the same request_id.",
    ),
    Problem(
        name="unavailable",
        status=503,
        title="A dependency is not available",
        meaning="The database, or Kafka for events and dead letters, could not do it now, or this process does as "
        "much of it as it may. The header Retry-After says when to try again; repeating "
        "a write is safe.",
    ),
    Problem(
        name="overloaded",
        status=503,
        title="The server has too much to do",
        meaning="Nothing of the request was done. The header Retry-After says when to try again; other workers may "
        "have room.",
    ),
    Problem(
        name="timeout",
        status=504,
        title="The request took too long",
        meaning="It was stopped. A write may or may not have been committed; repeating it is safe.",
    ),
)
PROBLEMS: Final = {problem.name: problem for problem in _ALL}


@dataclass(slots=True)
class ProblemError(Exception):
    """Raised by a handler; the boundary answers it."""

    name: str
    detail: str
    members: Mapping[str, object] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


def invalid_parameter(parameter: str, detail: str) -> ProblemError:
    return ProblemError("invalid-parameter", detail, {"parameter": parameter})


def instance_of(raw_path: str) -> str:
    """The request's path as a URI reference, whatever bytes it came as."""
    return quote(raw_path, safe=_PATH_SAFE, errors="surrogateescape")


def response(
    name: str,
    detail: str,
    *,
    request_id: str,
    instance: str,
    status: int | None = None,
    members: Mapping[str, object] | None = None,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """The problem's answer; it is never stored by a cache."""
    problem = PROBLEMS[name]
    code = status or problem.status
    body = {
        "type": problem.type,
        "title": problem.title,
        "status": code,
        "detail": detail,
        "instance": instance,
        "request_id": request_id,
        **(members or {}),
    }
    return web.Response(
        status=code,
        body=msgspec.json.encode(body),
        headers={
            "Content-Type": CONTENT_TYPE,
            "Cache-Control": "no-store",
            **(headers or {}),
        },
    )
