"""The handlers of dead letters: which there are, and the replay of one.

What a record holds may be somebody's data: it is told where it is asked for, alone.
"""

import base64
from typing import Final

import msgspec
from aiohttp import web

from app.core.dates import from_epoch_ms, to_text
from app.core.errors import InvalidError
from app.core.log_events import LogEvent
from app.core.records import StoredLetter
from web.bodies.dead_letter import Content, Letter
from web.http import audit_log, cursors, parameters
from web.http.guard import GIVEN_REQUEST_ID, KEY_ID
from web.http.paging import next_page
from web.problems import ProblemError
from web.services import SERVICES

_KEPT: Final = ("topic", "limit", "payload")
_LIST: Final = "dead-letters"
_OFFSET_BITS: Final = 48
_HEADERS: Final = {
    "Content-Type": "application/json",
    "Cache-Control": "no-store",
}
_ENCODER: Final = msgspec.json.Encoder()
_UNKNOWN: Final = ("unknown-topic", "no-such-letter")


async def get_dead_letters(request: web.Request) -> web.Response:
    """A page, in the order of the topics and of each topic's letters."""
    topic, limit = parameters.single(request.rel_url.query, "topic"), parameters.limit(request)
    with_payload = parameters.flag(request, "payload")
    position = cursors.decode(request.app[SERVICES].signer, parameters.cursor(request), _LIST, topic or "")
    after = (position >> _OFFSET_BITS, position % (1 << _OFFSET_BITS) - 1) if position else None
    try:
        page = await request.app[SERVICES].letter_box.page(topic, limit=limit, after=after)
    except InvalidError as error:
        raise ProblemError("invalid-parameter", str(error), {"parameter": "topic"}) from None
    if with_payload:
        key_id, request_id = request.get(KEY_ID), request[GIVEN_REQUEST_ID]
        audit_log.note(
            LogEvent.LETTERS_READ.extra, f"{len(page.letters)} dead letters with payload", key_id, request_id
        )
    headers = dict(_HEADERS)
    if page.next_after is not None:
        number, offset = page.next_after
        cursor = cursors.encode(
            request.app[SERVICES].signer, (number << _OFFSET_BITS) + offset + 1, _LIST, topic or ""
        )
        headers["Link"] = next_page(request, cursor, _KEPT)
    body = _ENCODER.encode([_told(letter, with_payload=with_payload) for letter in page.letters])
    return web.Response(body=body, headers=headers)


async def post_replay(request: web.Request) -> web.Response:
    """Send a letter's record to its topic again, and remove the letter."""
    parts = [request.match_info[name] for name in ("topic", "partition", "offset")]
    letter_id = "/".join(parts)
    try:
        stays = await request.app[SERVICES].letter_box.replay(letter_id)
    except InvalidError as error:
        if error.code not in _UNKNOWN:
            raise
        raise ProblemError("not-found", "There is no such dead letter; it may have been removed.") from None
    if stays is not None:
        raise ProblemError("not-replayable", f"The letter stays: {stays}.")
    key_id, request_id = request.get(KEY_ID), request[GIVEN_REQUEST_ID]
    audit_log.note(LogEvent.LETTER_REPLAYED.extra, f"dead letter {letter_id} replayed", key_id, request_id)
    return web.Response(body=_ENCODER.encode({"id": letter_id, "status": "replayed"}), headers=_HEADERS)


def _told(letter: StoredLetter, *, with_payload: bool) -> Letter:
    numbers = [
        int(part) if part.isascii() and part.isdecimal() else None for part in letter.id.split("/")[1:3]
    ]
    partition, offset = numbers if len(numbers) > 1 else (None, None)
    return Letter(
        id=letter.id,
        topic=letter.topic,
        partition=partition,
        offset=offset,
        timestamp=_time_of(letter.timestamp_ms),
        error=letter.error,
        reason=letter.reason,
        key=_content(letter.key),
        payload=_content(letter.value) if with_payload else msgspec.UNSET,
    )


def _content(told: bytes | None) -> Content | None:
    if told is None:
        return None
    try:
        return Content(text=told.decode())
    except UnicodeDecodeError:
        return Content(base64=base64.b64encode(told).decode())


def _time_of(milliseconds: int) -> str | None:
    try:
        return to_text(from_epoch_ms(milliseconds))
    except OverflowError:  # a producer that counts in microseconds is a good reason for a dead letter
        return None
