"""The handlers of writes: committed before they answer 202, all of a request or nothing of it.

With `dry_run=true` they write nothing and answer 200 with what the request would change, without its refused items.
"""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from aiohttp import web

from app.core.consistency_token import HEADER as TOKEN
from app.core.errors import InvalidError, ProfileError
from app.core.models import Batch, Changes, EntityKey, RequestSource
from app.core.preview import Preview
from web.bodies import dry_run, sync, temporal
from web.bodies.dry_run import Item
from web.bodies.ignored import accepted, batch_of, ignored_items
from web.bodies.item_errors import Refusal, Refusals
from web.http import bodies, parameters
from web.http.guard import GIVEN_REQUEST_ID
from web.services import SERVICES, SETTINGS, WebServices

_ACCEPTED: Final = b'{"status":"sync request accepted for processing"}'
_HEADERS: Final = {
    "Content-Type": "application/json",
    "Cache-Control": "no-store",
}


async def post_sync(request: web.Request) -> web.Response:
    """Upsert entities, properties and relationships. Safe to repeat: last writer wins by date."""
    services, settings = request.app[SERVICES], request.app[SETTINGS]
    refusals = Refusals() if parameters.dry_run(request) else None
    asked = await bodies.read(
        request,
        partial(
            sync.parse,
            max_items=settings.web_max_items,
            max_value_bytes=settings.max_value_bytes,
            refusals=refusals,
        ),
    )
    batch = Batch()
    if len(asked):
        now, types = await asyncio.gather(_now(services, refusals), _types_of(services, asked.untyped))
        source = RequestSource(request[GIVEN_REQUEST_ID])
        ahead = timedelta(seconds=settings.property_max_ahead_s)
        batch = asked.rows(now=now, types=types, ahead=ahead, source=source, refusals=refusals)
    return await _answer(services, batch, refusals, asked.paths)


async def post_ingest(request: web.Request) -> web.Response:
    """Upsert points of time series. Safe to repeat."""
    services, settings = request.app[SERVICES], request.app[SETTINGS]
    refusals = Refusals() if parameters.dry_run(request) else None
    asked = await bodies.read(
        request,
        partial(
            temporal.parse,
            max_items=settings.web_max_items,
            max_value_bytes=settings.max_value_bytes,
            refusals=refusals,
        ),
    )
    batch = asked.rows(now=await _now(services, refusals)) if len(asked) else Batch()
    return await _answer(services, batch, refusals, {})


async def _now(services: WebServices, refusals: Refusals | None) -> datetime:
    """The one time of all fields of a request, by the primary's clock."""
    return await (services.writer if refusals is None else services.preview).now()


async def _types_of(services: WebServices, references: list[str]) -> Mapping[str, list[str]]:
    return await services.directory.types_of(references) if references else {}


async def _answer(
    services: WebServices, batch: Batch, refusals: Refusals | None, paths: Mapping[EntityKey, str]
) -> web.Response:
    if refusals is None:
        headers, ignored = dict(_HEADERS), list[Item]()
        if len(batch):
            if batch.removed_edges and services.log_ends is not None:
                batch.log_ends = await services.log_ends.ends()
            try:
                changes = await services.writer.write(batch)
            except InvalidError as error:
                _place(error, paths)
                raise
            headers[TOKEN] = services.tokens.spell(changes.position)
            ignored = await _ignored(services, batch, changes)
        answer = accepted(ignored) if ignored else _ACCEPTED
        return web.Response(status=202, body=answer, headers=headers)
    preview = await services.preview.preview(batch) if len(batch) else Preview()
    for _, refused in preview.refused:
        _place(refused, paths)
        refusals.append(Refusal("entity", refused))
    body = await asyncio.to_thread(dry_run.encode, preview, refusals)
    return web.Response(body=body, headers=_HEADERS)


def _place(error: InvalidError, paths: Mapping[EntityKey, str]) -> None:
    """Name the place in the request of an entity that the store refuses."""
    if error.field is None and error.entity is not None:
        error.field = paths.get(EntityKey(*error.entity))


async def _ignored(services: WebServices, batch: Batch, changes: Changes) -> list[Item]:
    """What the write left out of this request; rows that say what is stored already are not among it."""
    if not (changes.erased or changes.losing):
        return []
    rows = set(batch.rows)
    erased, losing = rows & changes.erased, rows & changes.losing
    older: Preview | None = Preview()
    if losing:
        try:
            older = await services.preview.preview(batch_of(losing))
        except ProfileError:
            older = None  # it is committed all the same; which of them are older is not known
    return ignored_items(erased, losing, older)
