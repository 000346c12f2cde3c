"""Operations that erase."""

from typing import Final

from app.core.consistency_token import HEADER as TOKEN
from web.openapi import examples, parts
from web.openapi.operation import READ_ERRORS, Answer, Operation
from web.openapi.schemas import ref

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

ERASING: Final = (
    Operation(
        id="eraseEntity",
        tag="Erasure",
        summary="Erase one entity",
        description=_ERASING_BY_ID,
        parameters=(parts.ID,),
        answers={200: _ERASED},
        errors=(*READ_ERRORS, "not-found", "merged"),
    ),
    Operation(
        id="eraseEntityByReference",
        tag="Erasure",
        summary="Erase one entity by its business key",
        description=_ERASING,
        parameters=(parts.TYPE, parts.REFERENCE),
        answers={200: _ERASED},
        errors=(*READ_ERRORS, "not-found"),
    ),
)
