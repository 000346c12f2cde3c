"""Operations that say what there is and what it means."""

from typing import Final

from web.openapi import answers, parts
from web.openapi.links import INDEX
from web.openapi.operation import ANY_ERRORS, Answer, Operation
from web.openapi.schemas import ref

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

DESCRIBING: Final = (
    Operation(
        id="getIndex",
        tag="Description",
        summary="The routes",
        answers={
            200: Answer(
                description="URI templates; a client that names text/html gets Profile Explorer, where it is built.",
                schema=ref("Index"),
                headers=("ETag",),
                example=INDEX,
                html=answers.PAGE,
            ),
            304: Answer(description="The page that If-None-Match names still holds.", headers=("ETag",)),
        },
        parameters=(parts.IF_NONE_MATCH,),
    ),
    Operation(
        id="getPageAsset",
        tag="Description",
        summary="A script, style or picture of Profile Explorer",
        parameters=(
            parts.path("name", {"type": "string"}, "The file's name.", "index-4f2a91cc.js"),
            parts.IF_NONE_MATCH,
        ),
        answers=_FILE,
        errors=(*ANY_ERRORS, "not-found"),
    ),
    Operation(
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
        id="getDocsAsset",
        tag="Description",
        summary="A script or style of the page",
        parameters=(
            parts.path("asset", {"type": "string"}, "The file's name.", "swagger-ui.css"),
            parts.IF_NONE_MATCH,
        ),
        answers=_FILE,
        errors=(*ANY_ERRORS, "not-found"),
    ),
    Operation(
        id="getProblem",
        tag="Description",
        summary="What a problem means",
        parameters=(parts.PROBLEM,),
        answers={200: Answer(description="Its meaning.", schema=ref("Meaning"), example=answers.MEANING)},
        errors=(*ANY_ERRORS, "not-found"),
    ),
)
