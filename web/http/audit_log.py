"""What the logger `audit` says of requests: who was refused, and who got at what lies beyond profiles as they are."""

import logging
from collections.abc import Mapping
from typing import Final

from aiohttp import web

from app.core.api_keys import Rate, id_of
from app.core.clock import Clock
from app.core.log_events import LogEvent
from web.auth.gate import AUTHORIZATION
from web.auth.token_bucket import TokenBucket

audit = logging.getLogger("audit")

_MOST_REFUSALS: Final = Rate(per_s=5.0, burst=100)  # of one route: a stranger must not fill the disk


class Refusals:
    """Of one route."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._bucket = TokenBucket(_MOST_REFUSALS, clock.monotonic())
        self._left_out = 0

    def note(self, request: web.Request, route: str, status: int, request_id: str) -> None:
        """A request got a 401 or a 403; of a key that was given the public part is told, known or not."""
        if self._bucket.take(self._clock.monotonic()) > 0:
            self._left_out += 1
            return
        key_id = id_of(request.headers.get(AUTHORIZATION, "").rpartition(" ")[2])
        audit.info(
            "refused %s %s with %d",
            request.method,
            route,
            status,
            extra={
                **LogEvent.REQUEST_REFUSED.extra,
                "key_id": key_id,
                "status": status,
                "request_id": request_id,
                "left_out": self._left_out,
            },
        )
        self._left_out = 0


def note(event: Mapping[str, str], what: str, key_id: str | None, request_id: str) -> None:
    """Somebody did this. `event` is a LogEvent's extra; `what` holds no value of a profile."""
    audit.info(what, extra={**event, "key_id": key_id, "request_id": request_id})
