"""The application with an exception in one place: BROKEN=decode|fold|flush|ack:n fails at the n-th passage.

For `faust -A tests.e2e.broken worker`, by tests alone.
"""

import os
from collections.abc import Callable
from itertools import count
from typing import Any

import storage.write.writer
from agents.entities_edges import EntitiesEdges
from app import app
from app.worker.bulk_transport import Fetch
from storage.write.writer import PostgresWriter

__all__ = ["app"]

MESSAGE = "as if it quoted a record"

_PLACES: dict[str, tuple[Any, str]] = {
    "decode": (EntitiesEdges, "add"),
    "fold": (storage.write.writer, "folded"),
    "flush": (PostgresWriter, "write"),
    "ack": (Fetch, "ack"),
}


def _failing(whole: Callable[..., Any], nth: int) -> Callable[..., Any]:
    passed = count(1)

    def broken(*args: Any, **kwargs: Any) -> Any:
        if next(passed) == nth:
            raise RuntimeError(MESSAGE)
        return whole(*args, **kwargs)

    return broken


place, _, nth = os.environ["BROKEN"].partition(":")
owner, name = _PLACES[place]
setattr(owner, name, _failing(getattr(owner, name), int(nth)))
