"""Events as Server-Sent Events, until the client or the server goes.

The id of each message is a position in the whole topic, so that a client that comes back with the last one that it got
gets what follows. Silence bears ids as well: they save whoever wants little a long way. Memory is bounded: beside what
all clients share, a client has one chunk, and one that takes none for as long as a request may last is sent away.
"""

import asyncio
from typing import Final

import msgspec
from aiohttp import web

from app.core.domain_event import DomainEvent
from app.core.errors import TransientError
from app.ports.events import EventStream, StreamEndedError
from web.events.filters import Interest
from web.http import parameters, security_headers
from web.http.access_log import REQUEST_ID
from web.http.guard import ANSWERED_AT, GIVEN_REQUEST_ID, KEY_ID, SERVER_NAME
from web.services import GATE, SERVICES, SETTINGS

_CHUNK_BYTES: Final = 64 * 1024
_LOOK_S: Final = 0.4  # between looks whether the client is still there, and its key still good
_FAREWELL_S: Final = 1.0
_RETRY_MS: Final = 2_000
_ONE_LINE: Final = bytes.maketrans(b"\r\n", b"  ")


async def serve(request: web.Request, interest: Interest) -> web.StreamResponse:
    """Tell what comes. Before the first byte it raises InvalidError, BusyError and TransientError; then nothing."""
    services = request.app[SERVICES]
    response = web.StreamResponse(
        headers={
            "Content-Type": "text/event-stream",
            "Cache-Control": "no-store",
            "X-Accel-Buffering": "no",
            **security_headers.HEADERS,
            "Server": SERVER_NAME,
            REQUEST_ID: request[GIVEN_REQUEST_ID],
        }
    )
    after = parameters.last_event_id(request)
    if request.method == "HEAD":
        await response.prepare(request)
        return response
    async with services.feed.follow(after) as events:
        await response.prepare(request)
        request[ANSWERED_AT] = services.clock.monotonic()
        wire = _Wire(request, response)
        try:
            await _tell(request, wire, events, interest)
            farewell = "it is time for a new stream"
        except ConnectionError:  # the client has gone
            return response
        except StreamEndedError as error:
            farewell = str(error)
        except TimeoutError:
            farewell = "you read too slowly"
        except TransientError:
            farewell = "a dependency is not available now"
        await wire.close(farewell)
    return response


async def _tell(request: web.Request, wire: "_Wire", events: EventStream, interest: Interest) -> None:
    """Return when the stream has lasted as long as it may."""
    settings, services = request.app[SETTINGS], request.app[SERVICES]
    time = asyncio.get_running_loop().time
    ends_at = time() + settings.web_event_stream_s
    chunk = bytearray(b"retry: %d\nid: %b\n\n" % (_RETRY_MS, events.cursor.encode()))
    if events.gap is not None:
        chunk += _message("gap", msgspec.json.encode({"detail": events.gap}), events.cursor)
    while (now := time()) < ends_at:
        while taken := await _taken(events, interest):
            erased = (
                await services.erased_events.among([event for event, _ in taken])
                if services.erased_events
                else ()
            )
            for place, (event, cursor) in enumerate(taken):
                if place not in erased:
                    chunk += _message(event.type, event.body, cursor)
            if len(chunk) >= _CHUNK_BYTES:
                _require_admission(request)
                await wire.write(chunk)
        if now - wire.told_at >= settings.web_event_heartbeat_s:
            silence = f"waiting for {events.waits_for}" if events.waits_for else "nothing new"
            chunk += b": %b\nid: %b\n\n" % (silence.encode(), events.cursor.encode())
        _require_admission(request)
        if chunk:
            await wire.write(chunk)
        wire.require_client()
        await events.wait(min(_LOOK_S, settings.web_event_heartbeat_s, max(0.0, ends_at - now)))


async def _taken(events: EventStream, interest: Interest) -> list[tuple[DomainEvent, str]]:
    """What is wanted of what is here, a chunk at most, each with the position after it; empty where nothing is left."""
    taken: list[tuple[DomainEvent, str]] = []
    size = 0
    while size < _CHUNK_BYTES and (event := events.take(interest.may_want)) is not None:
        if await interest.settle(event):
            taken.append((event, events.cursor))
            size += len(event.body)
    return taken


def _require_admission(request: web.Request) -> None:
    if not request.app[GATE].still_admits(request.get(KEY_ID)):
        raise StreamEndedError("the API key was revoked, or has expired")


def _message(kind: str, body: bytes, cursor: str) -> bytes:
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (cursor.encode(), kind.encode(), body.translate(_ONE_LINE))


class _Wire:
    """The connection. Each write raises ConnectionError where the client has gone, TimeoutError where it stalls."""

    def __init__(self, request: web.Request, response: web.StreamResponse) -> None:
        self._request = request
        self._response = response
        self._stall_s = request.app[SETTINGS].web_request_timeout_s
        self.told_at = asyncio.get_running_loop().time()

    async def write(self, chunk: bytearray) -> None:
        """Send it, and empty it."""
        told = bytes(chunk)
        chunk.clear()
        async with asyncio.timeout(self._stall_s):
            await self._response.write(told)
        self.told_at = asyncio.get_running_loop().time()

    def require_client(self) -> None:
        transport = self._request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError

    async def close(self, why: str) -> None:
        """Say why, and that it may come back. Never raises."""
        try:
            async with asyncio.timeout(_FAREWELL_S):
                await self._response.write(f": {why}; come back with the last id\n\n".encode())
                await self._response.write_eof()
        except ConnectionError:
            pass
        except TimeoutError:
            if self._request.transport is not None:
                self._request.transport.abort()
