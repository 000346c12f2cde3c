"""The token that a read brings along: what its answer has to have reached."""

from aiohttp import web

from app.core.consistency_token import HEADER
from app.core.errors import TransientError
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
    return position
