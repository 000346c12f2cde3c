"""Operations for whoever runs the service."""

from typing import Final

from web.openapi import answers, parts
from web.openapi.operation import READ_ERRORS, Answer, Operation
from web.openapi.schemas import array, ref

OPERATING: Final = (
    Operation(
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
        errors=READ_ERRORS,
    ),
    Operation(
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
        errors=(*READ_ERRORS, "not-found", "not-replayable"),
    ),
    Operation(
        id="getHealth",
        tag="Operation",
        summary="Whether the process answers",
        answers={200: Answer(description="It does.", schema=ref("Alive"), example=answers.ALIVE)},
    ),
    Operation(
        id="getReadiness",
        tag="Operation",
        summary="Whether every required dependency is ready",
        description="Each dependency is asked every second. A key with the scope `metrics` is told the state of each "
        "one; without it, the answer is one word.",
        answers={
            200: Answer(description="They are.", schema=ref("Readiness"), example=answers.READY),
            503: Answer(description="Some are not.", schema=ref("Readiness"), example=answers.NOT_READY),
        },
    ),
    Operation(
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
)
