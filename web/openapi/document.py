"""Puts the description together, once."""

from functools import cache
from typing import Any, Final

import msgspec

from app.core.api_keys import granting
from web.openapi import examples
from web.openapi.operation import TAGS, Answer, Operation
from web.openapi.operations import OPERATIONS
from web.openapi.parts import HEADERS, REQUEST_ID, REQUEST_ID_IN
from web.openapi.problem_examples import SHOWN
from web.openapi.schemas import components, ref
from web.problems import CONTENT_TYPE, PROBLEMS, Problem

Json = dict[str, Any]

_TOLD: Final = {
    401: ("WWW-Authenticate",),
    403: ("WWW-Authenticate",),
    429: ("Retry-After",),
    503: ("Retry-After",),
}
_KEY: Final = "key"
_OF_KEYS: Final = (
    "unauthorized",
    "forbidden",
    "cross-site",
    "proxied",
    "unknown-host",
    "too-many-requests",
    "overloaded",
)

_INFO: Final = {
    "title": "User Profile",
    "version": "1",
    "summary": "Real-time profiles: entities, their relationships and time series, as one graph.",
    "description": "Events of many services become one graph, read here with low latency. Every error is a problem "
    "(RFC 9457) whose `type` is a path of this server that explains it. A header Consistency-Token of one answer, "
    "sent with the next request, keeps a session from going back in time.",
    "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
}

_SCHEME: Final = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API key of `python -m app keys create`; an operation names the scope that it needs. A server "
    "with PROFILE_AUTH=off asks for none.",
}


@cache
def document(*, is_open: bool = False) -> bytes:
    """The description as JSON, of a server that asks for keys, or of an open one, which takes requests without any."""
    paths: dict[str, Json] = {}
    for operation in OPERATIONS:
        route = operation.route
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(operation, is_open=is_open)
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "jsonSchemaDialect": "https://spec.openapis.org/oas/3.1/dialect/base",
            "info": _INFO,
            "servers": [{"url": "/"}],
            "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
            "paths": paths,
            "components": {
                "schemas": components(),
                "headers": HEADERS,
                "securitySchemes": {_KEY: _SCHEME},
                "parameters": {REQUEST_ID: REQUEST_ID_IN},
            },
        }
    )


def _operation(operation: Operation, *, is_open: bool) -> Json:
    described: Json = {
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "parameters": [*operation.parameters, {"$ref": f"#/components/parameters/{REQUEST_ID}"}],
        "responses": _responses(operation),
    }
    scope = operation.route.scope
    if scope is not None:
        without: list[Json] = [{}] if is_open else []
        described["security"] = [*without, *({_KEY: [each]} for each in granting(scope))]
    for flag, more in operation.route.modes.items():
        needs = f"With `{flag}=true` the key needs the scope `{more}`, too."
        described["description"] = f"{operation.description} {needs}" if operation.description else needs
    if operation.description and not operation.route.modes:
        described["description"] = operation.description
    if operation.body is not None:
        content = {"schema": ref(operation.body), "example": examples.BODIES[operation.body]}
        described["requestBody"] = {"required": True, "content": {"application/json": content}}
    return described


def _responses(operation: Operation) -> Json:
    responses: Json = {str(status): _answer(answer) for status, answer in operation.answers.items()}
    by_status: dict[int, list[Problem]] = {}
    for name in (*operation.errors, *(_OF_KEYS if operation.route.scope is not None else ())):
        by_status.setdefault(PROBLEMS[name].status, []).append(PROBLEMS[name])
    for status, problems in sorted(by_status.items()):
        if str(status) not in responses:
            responses[str(status)] = _problems(status, problems)
    return dict(sorted(responses.items()))


def _answer(answer: Answer) -> Json:
    described: Json = {"description": answer.description, "headers": _headers(*answer.headers)}
    if answer.schema is not None:
        content: Json = {"schema": answer.schema}
        if answer.example is not None:
            content["example"] = answer.example
        described["content"] = {answer.media_type: content}
        if answer.html is not None:
            described["content"]["text/html"] = {"schema": {"type": "string"}, "example": answer.html}
    return described


def example_of(problem: Problem) -> Json:
    """A problem as a client meets it."""
    shown = SHOWN[problem.name]
    return {
        "type": problem.type,
        "title": problem.title,
        "status": problem.status,
        "detail": shown.detail,
        "instance": shown.instance,
        "request_id": "7c2458e3ebce6fedfc93a72565b86a05",
        **shown.members,
    }


def _problems(status: int, problems: list[Problem]) -> Json:
    shown = {problem.name: {"summary": problem.title, "value": example_of(problem)} for problem in problems}
    return {
        "description": "; ".join(problem.title for problem in problems) + ".",
        "headers": _headers(*_TOLD.get(status, ())),
        "content": {CONTENT_TYPE: {"schema": ref("Problem"), "examples": shown}},
    }


def _headers(*names: str) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in (REQUEST_ID, *names)}
