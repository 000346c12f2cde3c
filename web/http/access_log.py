"""What is told of each answered request: the histogram, and a line in the access log.

Logs hold the route's template and never the path, whose values may be somebody's e-mail address.
"""

import logging
import re
import secrets
from itertools import count
from typing import Final

from multidict import CIMultiDictProxy, istr

from web.services import Observe

logger = logging.getLogger("web.access")
of_keys = logging.getLogger("web.keys")  # of requests with a key; on by default

REQUEST_ID: Final = istr("X-Request-Id")
SERVER_ERROR: Final = 500

_GOOD_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:\-]{1,128}")
_PROCESS: Final = secrets.token_hex(10)
_NUMBERS: Final = count(1)


def request_id_of(headers: CIMultiDictProxy[str]) -> str:
    """The client's, where it is fit to be logged, else a new one."""
    given = headers.get(REQUEST_ID)
    if given is not None and _GOOD_REQUEST_ID.fullmatch(given):
        return given
    return new_request_id()


def new_request_id() -> str:
    """Unique, which is all that it has to be; to ask the system for chance each time takes longer than the answer."""
    return f"{_PROCESS}{next(_NUMBERS):012x}"


class Accesses:
    """Notes requests."""

    def __init__(self, observe: Observe | None) -> None:
        self._observe = observe

    def note(
        self,
        method: str,
        route: str,
        status: int,
        *,
        elapsed_s: float,
        cache: str,
        request_id: str,
        key_id: str | None = None,
        cost: int = 1,
    ) -> None:
        """A request was answered. `route` is its template, `cache` the outcome of a read, else `-`.

        `key_id` is that of its key: then there is a line, of who did what at which cost.
        """
        if self._observe is not None:
            self._observe(route, status, elapsed_s, cache)
        # Whoever finds a line for each read too dear sets `web.access` to WARNING and keeps the failures.
        level = logging.WARNING if status >= SERVER_ERROR else logging.INFO
        log = logger if key_id is None else of_keys
        if log.isEnabledFor(level):
            told = (method, route, status, elapsed_s * 1000, cache)
            of_key = {} if key_id is None else {"key_id": key_id, "cost": cost}
            _log(log, level, told, request_id=request_id, of_key=of_key)


def _log(
    log: logging.Logger,
    level: int,
    told: tuple[str, str, int, float, str],
    *,
    request_id: str,
    of_key: dict[str, object],
) -> None:
    # Made by hand, since Logger.info walks the stack to find its caller.
    method, route, status, ms, cache = told
    text = "%s %s %d %.1f ms %s"
    if of_key:
        text += " key {key_id} cost {cost}".format(**of_key)
    record = logging.LogRecord(log.name, level, __file__, 0, text, told, None, "access")
    record.__dict__.update(
        method=method,
        route=route,
        status=status,
        ms=round(ms, 3),
        cache=cache,
        request_id=request_id,
        own_id=new_request_id(),  # the other one may be the client's
        **of_key,
    )
    log.handle(record)
