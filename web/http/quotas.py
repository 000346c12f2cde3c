"""Each key's share of what there is little of, so that one client does not keep all others out."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web

from app.core.errors import BusyError
from web.http.guard import KEY_ID, GuardedHandler
from web.http.raw_response import TreeResponse


class Shares:
    """One key has half of `most` at a time, and one at least. Without keys nobody is told apart."""

    def __init__(self, most: int, what: str, setting: str) -> None:
        self._each = max(1, most // 2)
        self._what = what
        self._setting = setting
        self._taken: Counter[str] = Counter()

    @contextmanager
    def one(self, key_id: str | None) -> Iterator[None]:
        """Take one for as long as the context lasts. Raises BusyError."""
        if key_id is None:
            yield
            return
        if self._taken[key_id] >= self._each:
            raise BusyError(
                f"This key has {self._each} {self._what} of this process already, half of {self._setting}, which is "
                "the most for one key; try again in a moment."
            )
        self._taken[key_id] += 1
        try:
            yield
        finally:
            self._taken[key_id] -= 1
            if not self._taken[key_id]:
                del self._taken[key_id]


def shared(handler: GuardedHandler, shares: Shares) -> GuardedHandler:
    """The handler, for whoever has something left of its share."""

    async def handle(request: web.Request) -> web.StreamResponse | TreeResponse:
        with shares.one(request.get(KEY_ID)):
            return await handler(request)

    return handle
