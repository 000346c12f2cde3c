"""Operations that read the graph."""

from typing import Final

from app.core.consistency_token import HEADER as TOKEN
from web.openapi import answers, examples, parts
from web.openapi.operation import MOVED, READ_ERRORS, WRITE_ERRORS, Answer, Operation
from web.openapi.schemas import array, ref

_TREE_HEADERS: Final = ("ETag", "Cache-Status", TOKEN, "Age")
_CONDITIONAL: Final = (parts.TOKEN_IN, parts.IF_NONE_MATCH)
_NOT_MODIFIED: Final = Answer(
    description="What If-None-Match names still holds.", headers=("ETag", "Cache-Status", TOKEN)
)
_TREE: Final = Answer(
    description="The tree.", schema=ref("Entity"), headers=_TREE_HEADERS, example=answers.TREE
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

READS: Final = (
    Operation(
        id="getEntity",
        tag="Reads",
        summary="The tree of one entity",
        description="An entity is expanded once, at its shallowest place; elsewhere it stands as `repeated`.",
        parameters=(parts.ID, *parts.DEPTH_AND_PERIOD, *parts.SELECTION, *_CONDITIONAL),
        answers={
            200: _TREE,
            301: MOVED,
            304: _NOT_MODIFIED,
        },
        errors=(*READ_ERRORS, "not-found"),
    ),
    Operation(
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
        errors=(*READ_ERRORS, "not-found"),
    ),
    Operation(
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
        errors=READ_ERRORS,
    ),
    Operation(
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
        errors=WRITE_ERRORS,
    ),
    Operation(
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
        errors=READ_ERRORS,
    ),
    Operation(
        id="listRelationships",
        tag="Reads",
        summary="The relationships of one entity, from either end",
        description="Those that lead away in order of the other end's id, those that lead to it in order of their "
        "making, a page at a time, with their metadata. With `type` or "
        "`entity_type` a page looks at 2,000 relationships at most: it may hold fewer than `limit`, or none, and still "
        "lead to a next one. Not from the cache.",
        parameters=(parts.ID, *parts.RELATIONSHIPS, parts.LIMIT, parts.CURSOR, *_CONDITIONAL),
        answers={
            200: Answer(
                description="A page.",
                schema=array(ref("Relationship")),
                headers=("ETag", "Cache-Status", TOKEN, "Link"),
                example=answers.RELATIONSHIPS,
            ),
            301: MOVED,
            304: _NOT_MODIFIED,
        },
        errors=(*READ_ERRORS, "not-found"),
    ),
    Operation(
        id="countRelationships",
        tag="Reads",
        summary="How many relationships of each kind one entity has",
        description="By direction, type and the other end's type, among 50,000 of each direction. Not from the cache.",
        parameters=(parts.ID, *_CONDITIONAL),
        answers={
            200: Answer(
                description="The counts.",
                schema=ref("RelationshipCounts"),
                headers=("ETag", "Cache-Status", TOKEN),
                example=answers.RELATIONSHIP_COUNTS,
            ),
            301: MOVED,
            304: _NOT_MODIFIED,
        },
        errors=(*READ_ERRORS, "not-found"),
    ),
    Operation(
        id="getProvenance",
        tag="Reads",
        summary="Where the properties of one entity came from",
        description=_TOLD_BY,
        parameters=(parts.ID, *_CONDITIONAL),
        answers={200: _PROVENANCE, 301: MOVED, 304: _NOT_MODIFIED},
        errors=(*READ_ERRORS, "not-found", "provenance-off"),
    ),
    Operation(
        id="getProvenanceByReference",
        tag="Reads",
        summary="The same by its business key",
        description=_TOLD_BY,
        parameters=(parts.TYPE, parts.REFERENCE, *_CONDITIONAL),
        answers={200: _PROVENANCE, 304: _NOT_MODIFIED},
        errors=(*READ_ERRORS, "not-found", "provenance-off"),
    ),
    Operation(
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
            301: MOVED,
        },
        errors=(*READ_ERRORS, "not-found"),
    ),
)
