"""The reads of the graph as questions to one connection."""

from collections.abc import Sequence
from typing import Final

import orjson

from app.models import EntityKey
from storage.fragments import Fragment, from_row
from storage.lookups import json_literal
from storage.pools import Connection
from storage.queries import query
from storage.source import Ask


def fragments(ids: Sequence[int], *, max_edges: int) -> Ask[dict[int, Fragment]]:
    """The fragments of those ids that exist."""

    async def ask(connection: Connection, position: int) -> dict[int, Fragment]:
        rows = await connection.fetch(query("fragments"), ids, max_edges)
        return {row["id"]: from_row(row, position=position) for row in rows}

    return ask


def id_of(key: EntityKey) -> Ask[int | None]:
    """The id of one entity."""

    async def ask(connection: Connection, _: int) -> int | None:
        found: int | None = await connection.fetchval(query("id_by_key"), key.type, key.reference)
        return found

    return ask


def ids_with(path: str, value: str, *, after: int, limit: int) -> Ask[list[int]]:
    """Ids, in order and greater than `after`, whose property at `path` (canonical) is `value`.

    The value is the JSON string, or the JSON number, boolean or null that it spells.
    """
    field, *inner = path.split(".")
    segments: Final = [field, "value", *inner]
    as_string = orjson.dumps(value).decode()
    as_literal = json_literal(value) or as_string

    async def ask(connection: Connection, _: int) -> list[int]:
        rows = await connection.fetch(
            query("ids_by_property"),
            _pattern(segments, as_string),
            segments,
            _pattern(segments, as_literal),
            as_string,
            as_literal,
            after,
            limit,
        )
        return [row["id"] for row in rows]

    return ask


def _pattern(segments: Sequence[str], leaf: str) -> str:
    opening = "".join(f"{{{orjson.dumps(segment).decode()}:" for segment in segments)
    return f"{opening}{leaf}{'}' * len(segments)}"
