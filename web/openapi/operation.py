"""What is told of one operation of the API."""

from dataclasses import dataclass
from typing import Any, Final, Literal

from web.openapi import answers
from web.openapi.parts import Part
from web.openapi.schemas import Schema, ref
from web.route_table import ROUTE_BY_ID, Route

Tag = Literal["Reads", "Writes", "Erasure", "Events", "Operation", "Description"]

TAGS: Final[dict[Tag, str]] = {
    "Reads": "Trees of entities, put together from a cache that is never older than the service could know.",
    "Writes": "Committed before they are answered, all of a request or nothing of it. Repeating one is safe.",
    "Erasure": "Everything about an entity goes, and records from before don't bring it back.",
    "Events": "What changed in the graph, told after its commit; docs/events.md is the contract of the bodies.",
    "Operation": "For whoever runs the service.",
    "Description": "What there is and what it means.",
}

ANY_ERRORS: Final = (
    "malformed-request",
    "uri-too-long",
    "headers-too-large",
    "expectation-failed",
    "http-error",
    "internal-error",
    "timeout",
)
READ_ERRORS: Final = (*ANY_ERRORS, "invalid-parameter", "unavailable")
WRITE_ERRORS: Final = (
    *READ_ERRORS,
    "request-timeout",
    "content-too-large",
    "unsupported-media-type",
    "invalid-content",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A success: its body (None: no body) and the headers that it can have beside X-Request-Id."""

    description: str
    schema: Schema | None = None
    media_type: str = "application/json"
    headers: tuple[str, ...] = ()
    example: Any = None
    html: str | None = None  # an example of the page that browsers get in its stead


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What the description says of the route with this id. `errors` are names of problems."""

    id: str
    tag: Tag
    summary: str
    answers: dict[int, Answer]
    errors: tuple[str, ...] = ANY_ERRORS
    parameters: tuple[Part, ...] = ()
    body: str | None = None  # the schema's name; its example stands in web.openapi.examples
    description: str = ""

    @property
    def route(self) -> Route:
        return ROUTE_BY_ID[self.id]


MOVED: Final = Answer(
    description="The entity was a placeholder of type `unknown` and is one with a typed one now.",
    schema=ref("Moved"),
    headers=("Location",),
    example=answers.MOVED,
)
