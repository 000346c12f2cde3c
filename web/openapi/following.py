"""Operations that tell of changes as they come."""

from typing import Final

from web.openapi import answers, parts
from web.openapi.operation import MOVED, READ_ERRORS, Answer, Operation

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

FOLLOWING: Final = (
    Operation(
        id="followEvents",
        tag="Events",
        summary="Domain events as they come",
        description=_FOLLOWING,
        parameters=(parts.FOLLOWED, parts.EVENT_TYPES, *parts.LAST_EVENT_ID),
        answers={200: _EVENTS},
        errors=(*READ_ERRORS, "not-found"),
    ),
    Operation(
        id="watchEntity",
        tag="Events",
        summary="Domain events about the entities of one tree",
        description=f"The tree is read again when it may have changed. {_FOLLOWING}",
        parameters=(parts.ID, *parts.DEPTH_AND_ALIAS, parts.EVENT_TYPES, *parts.LAST_EVENT_ID),
        answers={200: _EVENTS, 301: MOVED},
        errors=(*READ_ERRORS, "not-found"),
    ),
)
