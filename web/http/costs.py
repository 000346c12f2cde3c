"""What a request has cost, in the units of a key's rate: each request is 1 when it is let in, and this is the rest."""

from typing import Final

from aiohttp import web

from web.http.raw_response import TreeResponse

UNIT_BYTES: Final = 64 * 1024
_UNIT_S: Final = 0.1


def beyond_one(request: web.Request, response: web.StreamResponse | TreeResponse, elapsed_s: float) -> int:
    """1 for each whole 64 KiB received or sent, and for each whole 0.1 s in work, also of what was given up."""
    sent = response.size_bytes if isinstance(response, TreeResponse) else (response.content_length or 0)
    return (sent + (request.content_length or 0)) // UNIT_BYTES + int(elapsed_s / _UNIT_S)
