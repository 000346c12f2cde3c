"""The reads of the graph as questions to one connection.

Each answers with its result and two positions of the server: one read before the data's snapshot was taken, which
the result has reached, and one read after it. Where the server has not reached `least`, the answer is None.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import asyncpg
import orjson

from app.core import property_paths
from app.core.models import EntityKey
from storage.cache.lookups import json_literal
from storage.postgres.pools import Connection
from storage.postgres.positioned import Ask, Moment, Reached, moment, position
from storage.postgres.queries import query
from storage.read.budget import Budget

STATEMENT_BYTES: Final = 8 * 1024 * 1024  # about; what comes beyond is asked for with another one


class GraphRows(NamedTuple):
    """Rows for storage.cache.fragments.from_row, and the roots that had no room among them, or do not exist.

    `is_cut`: there may be more than these rows, of the roots or below them.
    """

    rows: list[asyncpg.Record]
    unread: frozenset[int]
    is_cut: bool


def graph(roots: Sequence[int], *, levels: int, budget: Budget) -> Ask[GraphRows]:
    """The roots that exist and what can be reached within `levels`, as much of it as one statement may bring.

    Of roots that exist at least one is among it.
    """
    size_bytes = min(STATEMENT_BYTES, budget.size_bytes)

    async def ask(connection: Connection, least: int) -> Reached[GraphRows] | None:
        rows = await connection.fetch(
            query("graph"),
            roots,
            levels,
            budget.nodes,
            budget.nodes,
            least,
            budget.points_of_entity,
            size_bytes,
        )
        last = rows.pop()
        if last["after"] is None:
            return None
        then = Moment(last["before"], last["id"], last["edges_total"])
        found = GraphRows(rows, frozenset(last["targets"] or ()), last["targets"] is not None)
        return Reached(found, last["before"], last["after"], then)

    return ask


def id_of(key: EntityKey) -> Ask[list[int]]:
    """The id of one entity, or none."""
    return _ids("id_by_key", key.type, key.reference)


def ids_with(path: str, value: str, *, after: int, limit: int) -> Ask[list[int]]:
    """Ids, in order and greater than `after`, whose property at `path` (canonical, or with quotes) is `value`.

    The value is the JSON string, or the JSON number, boolean or null that it spells.
    """
    field, *inner = property_paths.segments_of(path) if property_paths.is_quoted(path) else path.split(".")
    segments: Final = [field, "value", *inner]
    as_string = orjson.dumps(value).decode()
    as_literal = json_literal(value) or as_string
    return _ids(
        "ids_by_property",
        _pattern(segments, as_string),
        segments,
        _pattern(segments, as_literal),
        as_string,
        as_literal,
        after,
        limit,
    )


def _ids(name: str, *arguments: Any) -> Ask[list[int]]:
    async def ask(connection: Connection, least: int) -> Reached[list[int]] | None:
        then = await moment(connection)
        if then.position < least:
            return None
        rows = await connection.fetch(query(name), *arguments)
        return Reached([row["id"] for row in rows], then.position, await position(connection), then)

    return ask


def _pattern(segments: Sequence[str], leaf: str) -> str:
    opening = "".join(f"{{{orjson.dumps(segment).decode()}:" for segment in segments)
    return f"{opening}{leaf}{'}' * len(segments)}"
