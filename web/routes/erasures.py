"""The handlers of erasures: what is answered is committed, and the caches were told.

A repeated DELETE answers the receipt of the first, by reference and by id, from the keyed hashes of the ledger: so a
client whose answer was lost asks again. 404 is for what neither exists nor was erased. Once an entity was told anew, a
DELETE erases it anew. An id that was merged into another one is a 409 that names it: an erasure can't be undone, so
nobody is led on to what they did not name.

An entity with more rows than a piece has is hidden, and its rows are deleted in pieces: the answer is 202 with
`state: "deleting"`, and the same DELETE, or a GET of its Location, says how far that is.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Final

from aiohttp import web

from app.core.consistency_token import HEADER as TOKEN
from app.core.erasure import ErasureReceipt
from app.core.errors import TransientError
from app.core.log_events import LogEvent
from app.core.models import EntityKey
from web.bodies.receipts import Receipt, ReceiptInPieces, receipt_of
from web.http import parameters
from web.http.guard import GIVEN_REQUEST_ID, KEY_ID
from web.problems import ProblemError
from web.services import SERVICES, SETTINGS, WebServices

audit = logging.getLogger("audit")

_LETTERS_WAIT_S: Final = 3.0
_HEADERS: Final = {
    "Content-Type": "application/json",
    "Cache-Control": "no-store",
}


async def delete_by_id(request: web.Request) -> web.Response:
    """Erase an entity by id, and answer the receipt."""
    entity_id = parameters.entity_id(request.match_info["id"])
    services = request.app[SERVICES]
    erased = await services.eraser.erase_id(entity_id)
    if erased is None:
        target = (await services.entities.moved_to([entity_id])).get(entity_id)
        if target is not None:
            raise ProblemError(
                "merged",
                f"The entity is one with {target} now, and nothing was erased: DELETE /v1/graph/{target}, if that is "
                "meant.",
                {"moved_to": target},
            )
    return await _answer(request, erased, "this id")


async def delete_by_reference(request: web.Request) -> web.Response:
    """Erase an entity by its type and reference, and answer the receipt."""
    key = EntityKey(
        parameters.entity_type(request.match_info["type"]),
        parameters.entity_reference(request.match_info["reference"]),
    )
    erased = await request.app[SERVICES].eraser.erase(key)
    return await _answer(request, erased, "this type and reference")


async def get_receipt(request: web.Request) -> web.Response:
    """The receipt of an erasure, by its ledger id."""
    ledger_id = parameters.ledger_id(request.match_info["ledger_id"])
    services = request.app[SERVICES]
    erased = await services.eraser.receipt(ledger_id)
    if erased is None:
        raise ProblemError("not-found", "The ledger has no erasure with this id.")
    receipt = receipt_of(erased, request.app[SETTINGS], await _topic_configs(services))
    return _response(receipt, services.tokens.spell(erased.position))


async def _answer(request: web.Request, erased: ErasureReceipt | None, what: str) -> web.Response:
    if erased is None:
        raise ProblemError("not-found", f"There is no entity with {what}, and none was erased.")
    services, settings = request.app[SERVICES], request.app[SETTINGS]
    # What Kafka is asked here is asked after the commit, with no transaction open.
    seen_to, configs = await asyncio.gather(
        _with_letters(services, erased, min(_LETTERS_WAIT_S, settings.web_request_timeout_s / 4)),
        _topic_configs(services),
    )
    receipt = receipt_of(seen_to, settings, configs)
    # Of whom it was says the ledger id alone, to whoever has the key and the reference.
    audit.info(
        "entity erased: ledger id %s, request %s",
        receipt.ledger_id,
        request[GIVEN_REQUEST_ID],
        extra={
            **LogEvent.ENTITY_ERASED.extra,
            "request_id": request[GIVEN_REQUEST_ID],
            "key_id": request.get(KEY_ID),
            **receipt.model_dump(exclude={"not_reached"}),
        },
    )
    return _response(receipt, services.tokens.spell(seen_to.position))


def _response(receipt: Receipt, token: str) -> web.Response:
    headers = {**_HEADERS, TOKEN: token}
    status = 200
    if isinstance(receipt, ReceiptInPieces) and receipt.state == "deleting":
        status = 202
        headers |= {"Location": f"/v1/erasures/{receipt.ledger_id}", "Retry-After": "5"}
    return web.Response(status=status, body=receipt.model_dump_json().encode(), headers=headers)


async def _topic_configs(services: WebServices) -> Mapping[str, Mapping[str, str]] | None:
    return None if services.topic_configs is None else await services.topic_configs.configs()


async def _with_letters(services: WebServices, erased: ErasureReceipt, wait_s: float) -> ErasureReceipt:
    """The receipt after the dead letters were seen to, as far as that was possible in so long."""
    if erased.letters_checked_at is not None:
        return erased
    await services.letters.swept(wait_s=wait_s)
    try:
        return await services.eraser.receipt(erased.ledger_id) or erased
    except TransientError:
        return erased  # committed all the same
