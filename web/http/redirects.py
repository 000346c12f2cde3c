"""Ids that lead on: of placeholders that were merged into the typed entity of their reference."""

from collections.abc import Sequence

import msgspec
from aiohttp import web
from msgspec.structs import replace

from app.ports.graph import Answer
from web.services import WebServices

_ITEMS = msgspec.json.Decoder(list[msgspec.Raw])


async def redirect(
    request: web.Request, entity_id: int, services: WebServices, *, below: str = ""
) -> web.Response | None:
    """301 to the entity that this one was merged into, with the same query; None where it was not.

    `below` is what follows the id in the path.
    """
    target = (await services.entities.moved_to([entity_id])).get(entity_id)
    if target is None:
        return None
    query = request.rel_url.raw_query_string
    return web.Response(
        status=301,
        body=_item(entity_id, target),
        headers={
            "Location": f"/v1/graph/{target}{below}{'?' if query else ''}{query}",
            "Content-Type": "application/json",
            "Cache-Control": "no-cache",  # an erasure ends it
        },
    )


async def told(answer: Answer, ids: Sequence[int], services: WebServices) -> Answer:
    """The answer to a batch, whose items of merged ids say where these are now instead of null."""
    if not answer.missing or answer.body is None:
        return answer
    targets = await services.entities.moved_to(sorted(answer.missing))
    if not targets:
        return answer
    items = [
        _item(entity_id, targets[entity_id]) if entity_id in targets else bytes(item)
        for entity_id, item in zip(ids, _ITEMS.decode(answer.body), strict=True)
    ]
    return replace(answer, body=b"[" + b",".join(items) + b"]")


def _item(entity_id: int, target: int) -> bytes:
    return b'{"id":%d,"moved_to":%d}' % (entity_id, target)
