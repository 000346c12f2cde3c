"""The export of one entity: JSON Lines, written as they are read."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import msgspec
from aiohttp import web

from app.core.errors import TransientError
from app.core.export import End, ExportLine
from app.core.log_events import LogEvent
from web.http import audit_log, parameters, redirects, security_headers
from web.http.access_log import REQUEST_ID
from web.http.guard import GIVEN_REQUEST_ID, KEY_ID, SERVER_NAME
from web.problems import ProblemError
from web.services import GATE, SERVICES, SETTINGS

_CHUNK_BYTES: Final = 64 * 1024
_ENCODER: Final = msgspec.json.Encoder()


async def get_export(request: web.Request) -> web.StreamResponse:
    """Everything that is held about an entity, a line for each thing; the last line is `{"kind": "end"}`.

    301 where it was merged into another one, 404 where there is none. What fails after the first byte breaks the
    connection off.
    """
    entity_id = parameters.entity_id(request.match_info["id"])
    services = request.app[SERVICES]
    async with services.exporter.export(entity_id) as lines:
        if lines is not None:
            key_id, request_id = request.get(KEY_ID), request[GIVEN_REQUEST_ID]
            audit_log.note(LogEvent.EXPORT_BEGUN.extra, f"export of entity {entity_id}", key_id, request_id)
            return await _answer(request, entity_id, lines)
    # After the connection to the primary was given back.
    redirect = await redirects.redirect(request, entity_id, services, below="/export")
    if redirect is not None:
        return redirect
    raise ProblemError("not-found", "There is no entity with this id.")


async def _answer(
    request: web.Request, entity_id: int, lines: AsyncIterator[ExportLine]
) -> web.StreamResponse:
    response = web.StreamResponse(
        headers={
            "Content-Type": "application/x-ndjson",
            "Content-Disposition": f'attachment; filename="entity-{entity_id}.jsonl"',
            "Cache-Control": "no-store",
            **security_headers.HEADERS,
            "Server": SERVER_NAME,
            REQUEST_ID: request[GIVEN_REQUEST_ID],
        }
    )
    await response.prepare(request)
    if request.method == "HEAD":
        return response
    try:
        await _write(request, response, lines, stall_s=request.app[SETTINGS].web_request_timeout_s)
    except ConnectionError:  # the client has gone
        return response
    except BaseException:
        # The status is sent, so that the end of the connection has to say it.
        if request.transport is not None:
            request.transport.abort()
        raise
    return response


async def _write(
    request: web.Request, response: web.StreamResponse, lines: AsyncIterator[ExportLine], *, stall_s: float
) -> None:
    """Write it all. Raises TimeoutError where the client takes nothing for so long, TransientError without its key."""
    gate, key_id = request.app[GATE], request.get(KEY_ID)
    chunk = bytearray()
    count = 0
    async for line in lines:
        count += 1
        chunk += _ENCODER.encode(line) + b"\n"
        if not gate.still_admits(key_id):
            raise TransientError("The API key was revoked, or has expired, within the export.")
        if len(chunk) >= _CHUNK_BYTES:
            async with asyncio.timeout(stall_s):
                await response.write(bytes(chunk))
            chunk.clear()
    chunk += _ENCODER.encode(End(lines=count)) + b"\n"
    async with asyncio.timeout(stall_s):
        await response.write(bytes(chunk))
        await response.write_eof()
