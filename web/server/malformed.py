"""What arrives and can't be read as a request: the limits of its form, and its answer."""

import secrets
from http import HTTPStatus
from typing import Final

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from web import problems
from web.http import security_headers
from web.http.access_log import REQUEST_ID
from web.http.guard import SERVER_NAME

MAX_LINE_BYTES: Final = 8190  # of the request line
MAX_HEADER_BYTES: Final = (
    8192  # of one header with its name; another limit than the line's tells which one it was
)
MAX_HEADERS: Final = 128
_TOO_MANY_HEADERS: Final = "Too many headers received"  # aiohttp has no class for it; a test holds the words


def _named(status: int, error: BaseException | None) -> tuple[str, str]:
    """Name the problem of a request that could not be parsed, and say what is wrong."""
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return "internal-error", "Something unexpected happened; nothing more is told here."
    if isinstance(error, LineTooLong):
        if error.args[1] == MAX_LINE_BYTES:
            return "uri-too-long", f"The request line is longer than {MAX_LINE_BYTES} bytes."
        return "headers-too-large", f"A header is longer than {MAX_HEADER_BYTES} bytes."
    if error is not None and error.args == (_TOO_MANY_HEADERS,):
        return "headers-too-large", f"The request has more than {MAX_HEADERS} headers."
    return "malformed-request", "The request is not well-formed HTTP."


def answer(status: int, error: BaseException | None) -> web.Response:
    """The problem of what the parser, or aiohttp, refused with this error."""
    request_id = secrets.token_hex(16)
    name, detail = _named(status, error)
    return problems.response(
        name,
        detail,
        request_id=request_id,
        instance="/",
        headers={REQUEST_ID: request_id, "Server": SERVER_NAME, **security_headers.HEADERS},
    )
