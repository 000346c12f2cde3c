"""What of a tree a request asks for: `depth`, `period`, `fields`, `types` and `as_of`, with their aliases.

Clients repeat their queries, so what one means is remembered by its text.
"""

from datetime import datetime
from functools import lru_cache
from typing import Final, NamedTuple

from aiohttp import web
from multidict import MultiMapping
from yarl import URL

from app.core.selection import Selection
from web.http import parameters, selection
from web.problems import ProblemError

NAMES: Final = frozenset({"depth", "depthLimit", "period", "startTime", *selection.NAMES})
_REMEMBERED: Final = 2_048
_MAX_REMEMBERED_BYTES: Final = 512


class TreeQuery(NamedTuple):
    """How deep, since when temporal data is given (UTC; None: all that is retained), and what of it all.

    A selection of None is everything.
    """

    depth: int
    since: datetime | None
    selection: Selection | None


def of(request: web.Request) -> TreeQuery:
    """What the request asks for, whatever else its query has. Raises ProblemError."""
    return recognised(request.rel_url.raw_query_string) or read(request.rel_url.query)


def read(query: MultiMapping[str]) -> TreeQuery:
    """As `of`. Raises ProblemError."""
    return TreeQuery(parameters.depth(query), parameters.since(query), selection.of(query))


def recognised(query: str) -> TreeQuery | None:
    """What a short query means that is in order and has no other parameters; None for all others."""
    return _recognised(query) if len(query) <= _MAX_REMEMBERED_BYTES else None


@lru_cache(_REMEMBERED)
def _recognised(query: str) -> TreeQuery | None:
    if "#" in query:
        return None
    try:
        found = URL.build(path="/", query_string=query, encoded=True).query
        return read(found) if found.keys() <= NAMES else None
    except (ProblemError, ValueError):
        return None
