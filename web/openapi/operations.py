"""The operations of the API: one for each route, as the table that the description is made from."""

from dataclasses import dataclass
from typing import Any, Final, Literal

from app.tokens import HEADER as TOKEN
from web.openapi import answers, examples, parts
from web.openapi.parts import Part
from web.openapi.schemas import Schema, array, ref

Tag = Literal["Reads", "Writes", "Erasure", "Events", "Operation", "Description"]

TAGS: Final[dict[Tag, str]] = {
    "Reads": "Trees of entities, put together from a cache that is never older than the service could know.",
    "Writes": "Committed before they are answered, all of a request or nothing of it. Repeating one is safe.",
    "Erasure": "Everything about an entity goes, in one transaction; records from before don't bring it back.",
    "Events": "What changed in the graph, told after its commit; docs/events.md is the contract of the bodies.",
    "Operation": "For whoever runs the service.",
    "Description": "What there is and what it means.",
}

_ANY: Final = (
    "malformed-request",
    "uri-too-long",
    "headers-too-large",
    "expectation-failed",
    "http-error",
    "internal-error",
    "timeout",
)
_READ: Final = (*_ANY, "invalid-parameter", "unavailable")
_WRITE: Final = (
    *_READ,
    "request-timeout",
    "content-too-large",
    "unsupported-media-type",
    "invalid-content",
)
_TREE_HEADERS: Final = ("ETag", "Cache-Status", TOKEN, "Age")
_CONDITIONAL: Final = (parts.TOKEN_IN, parts.IF_NONE_MATCH)


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
    """One method of one path; a GET answers HEAD, too. `errors` are names of problems."""

    method: Literal["get", "post", "put", "delete"]
    path: str
    id: str
    tag: Tag
    summary: str
    answers: dict[int, Answer]
    errors: tuple[str, ...] = _ANY
    parameters: tuple[Part, ...] = ()
    body: str | None = None  # the schema's name; its example stands in web.openapi.examples
    description: str = ""


_NOT_MODIFIED: Final = Answer(
    description="What If-None-Match names still holds.", headers=("ETag", "Cache-Status", TOKEN)
)
_TREE: Final = Answer(
    description="The tree.", schema=ref("Entity"), headers=_TREE_HEADERS, example=answers.TREE
)
_MOVED: Final = Answer(
    description="The entity was a placeholder of type `unknown` and is one with a typed one now.",
    schema=ref("Moved"),
    headers=("Location",),
    example=answers.MOVED,
)
_PROVENANCE: Final = Answer(
    description="Dates and sources by property.",
    schema=ref("Provenance"),
    headers=("ETag", "Cache-Status", TOKEN),
    example=examples.PROVENANCE,
)
_TOLD_BY: Final = (
    "For each property, hidden ones too, the date that won, and the record or request that told it. Where the same "
    "was told twice, the source is the one that was written first; it is null where none was kept. "
    "Not from the cache."
)
_EVENTS: Final = Answer(
    description="Messages with `id`, `event` (the event's type, or `gap`) and `data` (its body on one line); comments.",
    schema={"type": "string"},
    media_type="text/event-stream",
    example=answers.EVENTS,
)
_FOLLOWING: Final = (
    "Server-Sent Events. A client that comes back with the last `id` that it got is told everything that came since, "
    "each event once. Without one it is told what comes from now on. A stream ends after "
    "PROFILE_WEB_EVENT_STREAM_S, when the server stops and when its client is too slow; come back then. "
    "`gap` tells that the topic no longer holds some of what followed the id."
)
_ERASED: Final = Answer(
    description="The receipt; a repeated DELETE answers the same one.",
    schema=ref("Receipt"),
    headers=(TOKEN,),
    example=examples.RECEIPT,
)
_ERASING: Final = (
    "Committed, and told to the caches, before it is answered. 404: it neither exists nor was erased."
)
_ERASING_BY_ID: Final = (
    f"{_ERASING} 409: it was merged into another one, which `moved_to` names, and nothing was erased."
)

_UNCHANGED: Final = Answer(description="What If-None-Match names still holds.", headers=("ETag",))
_FILE: Final = {
    200: Answer(
        description="The file.",
        schema={"type": "string"},
        media_type="*/*",
        headers=("ETag",),
        example=answers.SCRIPT,
    ),
    304: _UNCHANGED,
}

OPERATIONS: Final = (
    Operation(
        method="get",
        path="/v1/graph/{id}",
        id="getEntity",
        tag="Reads",
        summary="The tree of one entity",
        description="An entity is expanded once, at its shallowest place; elsewhere it stands as `repeated`.",
        parameters=(parts.ID, *parts.DEPTH_AND_PERIOD, *parts.SELECTION, *_CONDITIONAL),
        answers={
            200: _TREE,
            301: _MOVED,
            304: _NOT_MODIFIED,
        },
        errors=(*_READ, "not-found"),
    ),
    Operation(
        method="get",
        path="/v1/graph/by-reference/{type}/{reference}",
        id="getEntityByReference",
        tag="Reads",
        summary="The tree of one entity by its business key",
        parameters=(
            parts.TYPE,
            parts.REFERENCE,
            *parts.DEPTH_AND_PERIOD,
            *parts.SELECTION,
            *_CONDITIONAL,
        ),
        answers={200: _TREE, 304: _NOT_MODIFIED},
        errors=(*_READ, "not-found"),
    ),
    Operation(
        method="get",
        path="/v1/graph/by-property/{prop}/value/{value}",
        id="findEntitiesByProperty",
        tag="Reads",
        summary="The trees of all entities with a property of this value",
        description="In order of id, a page at a time; an empty array where there is none.",
        parameters=(
            parts.PROP,
            parts.VALUE,
            *parts.DEPTH_AND_PERIOD,
            *parts.SELECTION,
            parts.LIMIT,
            parts.CURSOR,
            *_CONDITIONAL,
        ),
        answers={
            200: Answer(
                description="A page.",
                schema=array(ref("Entity")),
                headers=(*_TREE_HEADERS, "Link"),
                example=answers.TREES,
            ),
            304: _NOT_MODIFIED,
        },
        errors=_READ,
    ),
    Operation(
        method="post",
        path="/v1/graph/batch",
        id="getEntities",
        tag="Reads",
        summary="The trees of several entities",
        description="One item per id, in order: its tree; null where there is no such entity; "
        "`moved_to` where it was merged into another one.",
        parameters=(*parts.DEPTH_AND_PERIOD, *parts.SELECTION, parts.TOKEN_IN),
        body="BatchIn",
        answers={
            200: Answer(
                description="The items.",
                schema=array({"oneOf": [ref("Entity"), ref("Moved"), {"type": "null"}]}),
                headers=("Cache-Status", TOKEN, "Age"),
                example=answers.BATCH,
            )
        },
        errors=_WRITE,
    ),
    Operation(
        method="get",
        path="/v1/entities",
        id="listEntities",
        tag="Reads",
        summary="All entities, or those of a type",
        description="In order of id, a page at a time; an entity that comes meanwhile stands on a later page. "
        "Not from the cache.",
        parameters=(parts.LISTED_TYPE, parts.LIMIT, parts.CURSOR, *_CONDITIONAL),
        answers={
            200: Answer(
                description="A page.",
                schema=array(ref("Listed")),
                headers=("ETag", "Cache-Status", TOKEN, "Link"),
                example=answers.LISTED,
            ),
            304: _NOT_MODIFIED,
        },
        errors=_READ,
    ),
    Operation(
        method="get",
        path="/v1/graph/{id}/provenance",
        id="getProvenance",
        tag="Reads",
        summary="Where the properties of one entity came from",
        description=_TOLD_BY,
        parameters=(parts.ID, *_CONDITIONAL),
        answers={200: _PROVENANCE, 301: _MOVED, 304: _NOT_MODIFIED},
        errors=(*_READ, "not-found", "provenance-off"),
    ),
    Operation(
        method="get",
        path="/v1/graph/by-reference/{type}/{reference}/provenance",
        id="getProvenanceByReference",
        tag="Reads",
        summary="The same by its business key",
        description=_TOLD_BY,
        parameters=(parts.TYPE, parts.REFERENCE, *_CONDITIONAL),
        answers={200: _PROVENANCE, 304: _NOT_MODIFIED},
        errors=(*_READ, "not-found", "provenance-off"),
    ),
    Operation(
        method="get",
        path="/v1/graph/{id}/export",
        id="exportEntity",
        tag="Reads",
        summary="Everything that is held about one entity",
        description="JSON Lines of one snapshot, hidden properties and removed relationships too. The `kind` of a line "
        'says what it is; the last one is `{"kind":"end","lines":…}`, without which the export broke off.',
        parameters=(parts.ID,),
        answers={
            200: Answer(
                description="The lines.",
                schema={"type": "string"},
                media_type="application/x-ndjson",
                headers=("Content-Disposition",),
                example=answers.EXPORT,
            ),
            301: _MOVED,
        },
        errors=(*_READ, "not-found"),
    ),
    Operation(
        method="get",
        path="/v1/events",
        id="followEvents",
        tag="Events",
        summary="Domain events as they come",
        description=_FOLLOWING,
        parameters=(parts.FOLLOWED, parts.EVENT_TYPES, *parts.LAST_EVENT_ID),
        answers={200: _EVENTS},
        errors=(*_READ, "not-found"),
    ),
    Operation(
        method="get",
        path="/v1/graph/{id}/watch",
        id="watchEntity",
        tag="Events",
        summary="Domain events about the entities of one tree",
        description=f"The tree is read again when it may have changed. {_FOLLOWING}",
        parameters=(parts.ID, *parts.DEPTH_AND_ALIAS, parts.EVENT_TYPES, *parts.LAST_EVENT_ID),
        answers={200: _EVENTS, 301: _MOVED},
        errors=(*_READ, "not-found"),
    ),
    Operation(
        method="get",
        path="/v1/dead-letters",
        id="listDeadLetters",
        tag="Operation",
        summary="Records that could not be processed",
        description="In the order of the topics and of each topic's letters, a page at a time.",
        parameters=(parts.LETTER_TOPIC, parts.PAYLOAD, parts.LIMIT, parts.CURSOR),
        answers={
            200: Answer(
                description="A page.",
                schema=array(ref("Letter")),
                headers=("Link",),
                example=answers.LETTERS,
            )
        },
        errors=_READ,
    ),
    Operation(
        method="post",
        path="/v1/dead-letters/{topic}/{partition}/{offset}/replay",
        id="replayDeadLetter",
        tag="Operation",
        summary="Send a record to its topic again, and remove its letter",
        description="What still can't be processed comes back as a new letter under its new offset.",
        parameters=parts.LETTER,
        answers={
            200: Answer(
                description="It is sent, and the letter removed.",
                schema=ref("Replayed"),
                example=answers.REPLAYED,
            )
        },
        errors=(*_READ, "not-found", "not-replayable"),
    ),
    Operation(
        method="delete",
        path="/v1/graph/{id}",
        id="eraseEntity",
        tag="Erasure",
        summary="Erase one entity",
        description=_ERASING_BY_ID,
        parameters=(parts.ID,),
        answers={200: _ERASED},
        errors=(*_READ, "not-found", "merged"),
    ),
    Operation(
        method="delete",
        path="/v1/graph/by-reference/{type}/{reference}",
        id="eraseEntityByReference",
        tag="Erasure",
        summary="Erase one entity by its business key",
        description=_ERASING,
        parameters=(parts.TYPE, parts.REFERENCE),
        answers={200: _ERASED},
        errors=(*_READ, "not-found"),
    ),
    Operation(
        method="post",
        path="/v1/graph/sync",
        id="syncGraph",
        tag="Writes",
        summary="Write entities and relationships",
        description="The last writer of a property, by its date, wins.",
        parameters=(parts.DRY_RUN,),
        body="SyncIn",
        answers={
            200: Answer(
                description="The answer to a dry run.",
                schema=ref("Differences"),
                example=answers.SYNC_DIFFERENCES,
            ),
            202: Answer(
                description="It is committed.",
                schema=ref("Accepted"),
                headers=(TOKEN,),
                example=answers.ACCEPTED,
            ),
        },
        errors=(*_WRITE, "ambiguous-reference"),
    ),
    Operation(
        method="post",
        path="/v1/temporal/ingest",
        id="ingestTemporal",
        tag="Writes",
        summary="Write points of time series",
        parameters=(parts.DRY_RUN,),
        body="IngestIn",
        answers={
            200: Answer(
                description="The answer to a dry run.",
                schema=ref("Differences"),
                example=answers.INGEST_DIFFERENCES,
            ),
            202: Answer(
                description="It is committed.",
                schema=ref("Accepted"),
                headers=(TOKEN,),
                example=answers.ACCEPTED,
            ),
        },
        errors=_WRITE,
    ),
    Operation(
        method="get",
        path="/healthz",
        id="getHealth",
        tag="Operation",
        summary="Whether the process answers",
        answers={200: Answer(description="It does.", schema=ref("Alive"), example=answers.ALIVE)},
    ),
    Operation(
        method="get",
        path="/readyz",
        id="getReadiness",
        tag="Operation",
        summary="Whether every required dependency is ready",
        answers={
            200: Answer(description="They are.", schema=ref("Readiness"), example=answers.READY),
            503: Answer(description="Some are not.", schema=ref("Readiness"), example=answers.NOT_READY),
        },
    ),
    Operation(
        method="get",
        path="/metrics",
        id="getMetrics",
        tag="Operation",
        summary="Metrics for Prometheus",
        answers={
            200: Answer(
                description="A page.",
                schema={"type": "string"},
                media_type="text/plain",
                example=answers.METRICS,
            )
        },
    ),
    Operation(
        method="get",
        path="/",
        id="getIndex",
        tag="Description",
        summary="The routes",
        answers={
            200: Answer(
                description="URI templates; a client that names text/html gets Profile Explorer, where it is built.",
                schema=ref("Index"),
                headers=("ETag",),
                example=answers.INDEX,
                html=answers.PAGE,
            ),
            304: Answer(description="The page that If-None-Match names still holds.", headers=("ETag",)),
        },
        parameters=(parts.IF_NONE_MATCH,),
    ),
    Operation(
        method="get",
        path="/assets/{name}",
        id="getPageAsset",
        tag="Description",
        summary="A script, style or picture of Profile Explorer",
        parameters=(
            parts.path("name", {"type": "string"}, "The file's name.", "index-4f2a91cc.js"),
            parts.IF_NONE_MATCH,
        ),
        answers=_FILE,
        errors=(*_ANY, "not-found"),
    ),
    Operation(
        method="get",
        path="/openapi.json",
        id="getDescription",
        tag="Description",
        summary="This document",
        answers={
            200: Answer(
                description="OpenAPI 3.1.",
                schema={"type": "object"},
                headers=("ETag",),
                example=answers.DESCRIPTION,
            ),
            304: _UNCHANGED,
        },
        parameters=(parts.IF_NONE_MATCH,),
    ),
    Operation(
        method="get",
        path="/docs",
        id="getDocs",
        tag="Description",
        summary="This document as a page",
        answers={
            200: Answer(
                description="The page.",
                schema={"type": "string"},
                media_type="text/html",
                headers=("ETag",),
                example=answers.PAGE,
            ),
            304: _UNCHANGED,
        },
        parameters=(parts.IF_NONE_MATCH,),
    ),
    Operation(
        method="get",
        path="/docs/{asset}",
        id="getDocsAsset",
        tag="Description",
        summary="A script or style of the page",
        parameters=(
            parts.path("asset", {"type": "string"}, "The file's name.", "swagger-ui.css"),
            parts.IF_NONE_MATCH,
        ),
        answers=_FILE,
        errors=(*_ANY, "not-found"),
    ),
    Operation(
        method="get",
        path="/problems/{name}",
        id="getProblem",
        tag="Description",
        summary="What a problem means",
        parameters=(parts.PROBLEM,),
        answers={200: Answer(description="Its meaning.", schema=ref("Meaning"), example=answers.MEANING)},
        errors=(*_ANY, "not-found"),
    ),
)
