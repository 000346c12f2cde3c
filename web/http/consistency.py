"""The token that a read brings along: what its answer has to have reached."""

from aiohttp import web

from app.core.consistency_token import HEADER, position_of
from app.core.errors import InvalidError, TransientError
from web.services import WebServices


async def token(request: web.Request, services: WebServices) -> int:
    """The position to reach, 0 without a token. Raises InvalidError (not one of ours) or TransientError.

    A token of another timeline, from before a failover, can't be compared: all that the primary has now will do.
    """
    text = request.headers.get(HEADER)
    if text is None:
        return 0
    position = services.tokens.read(text)
    if position is None:
        position = await services.position()
        if position is None:
            raise TransientError("The token is of another timeline, and the primary does not answer.")
    elif position > services.tokens.highest:
        await _require_existence(position, services)
    return position


async def _require_existence(position: int, services: WebServices) -> None:
    """Raise InvalidError for a position that the primary has not come to: an invented one would make each read cold.

    Where the primary does not answer, a replica that has reached it, or nobody, will.
    """
    reached = await services.position()
    if reached is None:
        return
    if position_of(position) > reached:
        raise InvalidError(
            f"{HEADER} is ahead of the database; send the one of an answer as it was.",
            code="token-ahead",
            field=HEADER,
        )
    services.tokens.highest = max(services.tokens.highest, position)
