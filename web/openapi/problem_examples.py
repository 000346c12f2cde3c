"""Each problem as a client meets it: the words and members of one request that gets it."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple


class Shown(NamedTuple):
    """`members` are those beside the ones that every problem has."""

    detail: str
    instance: str = "/v1/graph/1"
    members: Mapping[str, object] = MappingProxyType({})


SHOWN: Final[dict[str, Shown]] = {
    "invalid-parameter": Shown(
        "depth is out of range: expected a whole number from 1 to 10.",
        members={"parameter": "depth"},
    ),
    "malformed-request": Shown("The request is not well-formed HTTP.", "/"),
    "unauthorized": Shown("This needs an API key: send it as `Authorization: Bearer <key>`."),
    "forbidden": Shown("The API key lacks the scope erase.", members={"scope": "erase"}),
    "cross-site": Shown(
        "A page of another site sent this. Without API keys only pages of this server may change anything."
    ),
    "proxied": Shown("This came through a proxy, and this server asks nobody for a key."),
    "not-found": Shown("There is no entity with this id.", "/v1/graph/404"),
    "provenance-off": Shown(
        "This server does not keep where statements come from.", "/v1/graph/1/provenance"
    ),
    "method-not-allowed": Shown("PUT is not allowed here."),
    "not-replayable": Shown(
        "The letter stays: its record has no value.", "/v1/dead-letters/entity-properties/3/48214/replay"
    ),
    "merged": Shown(
        "The entity is one with 11402 now, and nothing was erased: DELETE /v1/graph/11402, if that is meant.",
        "/v1/graph/11396",
        {"moved_to": 11402},
    ),
    "request-timeout": Shown("The body did not arrive in time; send it again.", "/v1/graph/sync"),
    "content-too-large": Shown("The body is larger than 4194304 bytes; split it.", "/v1/graph/sync"),
    "uri-too-long": Shown("The request line is longer than 8190 bytes.", "/"),
    "unsupported-media-type": Shown(
        "Send the body as UTF-8 with the header Content-Type: application/json.", "/v1/graph/sync"
    ),
    "expectation-failed": Shown("The header Expect holds something else than 100-continue."),
    "unknown-host": Shown(
        "Without API keys this server answers by its own names alone, as localhost. Name others in "
        "PROFILE_WEB_ALLOWED_HOSTS, or make a key."
    ),
    "invalid-content": Shown(
        'entities[0].properties[""] is empty.',
        "/v1/graph/sync",
        {"field": 'entities[0].properties[""]', "code": "empty-name"},
    ),
    "ambiguous-reference": Shown(
        "The reference 'acme' is borne by entities of the types company, user: name source_type or target_type.",
        "/v1/graph/sync",
        {
            "field": "relationships[0].source_reference",
            "code": "ambiguous-reference",
            "candidates": ["company", "user"],
        },
    ),
    "too-many-requests": Shown("The API key has 10 requests a second, and 100 at once."),
    "headers-too-large": Shown("A header is longer than 8192 bytes.", "/"),
    "http-error": Shown("Bad Request.", "/"),
    "internal-error": Shown("Something unexpected happened; nothing more is told here."),
    "unavailable": Shown("A dependency is not available now; try again in a moment."),
    "overloaded": Shown("1000 requests are in work, which is the most; try again in a moment."),
    "timeout": Shown("The request took longer than the server allows and was stopped."),
}
