"""Operations that erase."""

from typing import Final

from app.core.consistency_token import HEADER as TOKEN
from web.openapi import examples, parts
from web.openapi.operation import READ_ERRORS, Answer, Operation
from web.openapi.schemas import ref

_ERASED: Final = Answer(
    description="The receipt; a repeated DELETE answers the same one. `state` and `progress` are there where the rows "
    "were deleted in pieces.",
    schema={"anyOf": [ref("Receipt"), ref("ReceiptInPieces")]},
    headers=(TOKEN,),
    example=examples.RECEIPT,
)
_DELETING: Final = Answer(
    description="The entity is hidden for good, and noted in the ledger; its rows are being deleted in pieces. The "
    "same DELETE, or a GET of the Location, says how far that is, and answers 200 once they are gone.",
    schema=ref("ReceiptInPieces"),
    headers=(TOKEN, "Location", "Retry-After"),
    example=examples.RECEIPT_DELETING,
)
_ERASING: Final = (
    "Committed, and told to the caches, before it is answered: nothing shows the entity any more, though the deletion "
    "of many rows (`PROFILE_ERASURE_PIECE_ROWS`) goes on. 404: it neither exists nor was erased."
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
        answers={200: _ERASED, 202: _DELETING},
        errors=(*READ_ERRORS, "not-found", "merged"),
    ),
    Operation(
        id="eraseEntityByReference",
        tag="Erasure",
        summary="Erase one entity by its business key",
        description=_ERASING,
        parameters=(parts.TYPE, parts.REFERENCE),
        answers={200: _ERASED, 202: _DELETING},
        errors=(*READ_ERRORS, "not-found"),
    ),
    Operation(
        id="getErasure",
        tag="Erasure",
        summary="The receipt of an erasure",
        description="By the `ledger_id` of the receipt. 404: the ledger has no such erasure.",
        parameters=(parts.LEDGER_ID,),
        answers={200: _ERASED, 202: _DELETING},
        errors=(*READ_ERRORS, "not-found"),
    ),
)
