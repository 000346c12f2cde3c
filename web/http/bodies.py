"""JSON bodies of POSTs: content type, size, time, syntax, schema."""

import asyncio
import re
from collections.abc import Callable, Iterable
from typing import Final, TypeVar

import msgspec
from aiohttp import ClientPayloadError, web
from aiohttp.http_exceptions import HttpProcessingError

from app.core.decoding import schema_error
from app.core.errors import InvalidError
from app.core.field_paths import join
from app.core.json_shapes import shape_of
from web.http import json_errors
from web.http.guard import READING_BODY
from web.problems import ProblemError

T = TypeVar("T")

# To say what is wrong with bad JSON takes a hundred times as long as to read good one.
_PARSE_IN_THREAD_FROM_BYTES: Final = 8 * 1024
_BYTE: Final = re.compile(r"\(byte (\d+)\)")


async def read(request: web.Request, parse: Callable[[bytes], T]) -> T:
    """Read and parse a JSON body. Raises ProblemError (400, 408, 415), 413, or InvalidError (422)."""
    media_type = request.content_type
    charset = (request.charset or "utf-8").lower()
    is_json = media_type == "application/json" or media_type.endswith("+json")
    if "Content-Type" not in request.headers or not is_json or charset not in ("utf-8", "utf8", "us-ascii"):
        raise ProblemError(
            "unsupported-media-type", "Send the body as UTF-8 with the header Content-Type: application/json."
        )
    if request.headers.get("Content-Encoding", "identity").lower() not in ("identity", ""):
        raise ProblemError(
            "unsupported-media-type",
            "Send the body as it is, without Content-Encoding.",
            headers={"Accept-Encoding": "identity"},
        )
    length, most = request.content_length, request.client_max_size
    if length is not None and length > most:
        raise web.HTTPRequestEntityTooLarge(max_size=most, actual_size=length)
    request[READING_BODY] = True
    try:
        body = await request.read()
    except (web.RequestPayloadError, ClientPayloadError, HttpProcessingError, ConnectionError) as error:
        raise _unreadable() from error
    request[READING_BODY] = False
    if len(body) < _PARSE_IN_THREAD_FROM_BYTES:
        return parse(body)
    return await asyncio.to_thread(parse, body)


def decode(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """Decode a body into its schema. Raises ProblemError (400) or InvalidError naming the field (422)."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise ProblemError(
            "malformed-request", f"The body is not UTF-8: byte {error.start} can't be read."
        ) from None
    try:
        decoded = decoder.decode(body)
    except msgspec.ValidationError as error:
        _check_syntax(body, text)  # the validator stops at the first field of a wrong type
        raise _schema_error(error, decoder) from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise _not_json(text, error) from None
    if not _is_all_of(body, decoded):
        shape_of(decoder.type).check_names(body)
    return decoded


def decode_each(
    items: Iterable[msgspec.Raw], decoder: msgspec.json.Decoder[T], path: str
) -> list[T | InvalidError]:
    """Decode the items of the list at `path` one by one; an item that fails is replaced by its error.

    The errors are those that `decode` raises for a body with the same item.
    """
    found: list[T | InvalidError] = []
    for index, item in enumerate(items):
        at = join(path, index)
        try:
            decoded = decoder.decode(item)
            shape_of(decoder.type).check_names(item, at)
            found.append(decoded)
        except msgspec.ValidationError as error:  # syntax was checked when the whole was decoded
            found.append(_schema_error(error, decoder, within=at))
        except InvalidError as error:
            found.append(error)
    return found


def _is_all_of(body: bytes, decoded: object) -> bool:
    """Whether a body is certainly its decoded members and nothing else: no member was dropped for a later one.

    False where it can't be seen without a closer look, as of names with escapes. Costs a few microseconds.
    """
    kept = msgspec.json.encode(decoded)
    return all(body.count(sign) == kept.count(sign) for sign in (b":", b"\\"))


def _schema_error(
    error: msgspec.ValidationError, decoder: msgspec.json.Decoder[T], *, within: str = ""
) -> InvalidError:
    return schema_error(str(error), whole="The body", within=within, shape=shape_of(decoder.type))


def _check_syntax(body: bytes, text: str) -> None:
    try:
        msgspec.json.decode(body, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError) as error:
        raise _not_json(text, error) from None


def _not_json(text: str, error: Exception) -> InvalidError | ProblemError:
    found = json_errors.explain(text)
    if found is not None:
        return found
    where = _BYTE.search(str(error))
    return ProblemError(
        "malformed-request", f"The body is not well-formed JSON{f', at byte {where[1]}' if where else ''}."
    )


def _unreadable() -> ProblemError:
    return ProblemError("malformed-request", "The body broke off or can't be decoded; send it again.")
