"""Operations that write to the graph."""

from typing import Final

from app.core.consistency_token import HEADER as TOKEN
from web.openapi import answers, parts
from web.openapi.operation import WRITE_ERRORS, Answer, Operation
from web.openapi.schemas import ref

_ACCEPTED: Final = Answer(
    description="It is committed.", schema=ref("Accepted"), headers=(TOKEN,), example=answers.ACCEPTED
)

WRITES: Final = (
    Operation(
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
            202: _ACCEPTED,
        },
        errors=(*WRITE_ERRORS, "ambiguous-reference"),
    ),
    Operation(
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
            202: _ACCEPTED,
        },
        errors=WRITE_ERRORS,
    ),
)
