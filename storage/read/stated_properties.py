"""Stored properties, page by page, for the repair of normal forms."""

from collections.abc import Collection
from typing import Final

import asyncpg

from app.ports.stated import StatedPage, StatedProperty
from storage.postgres.errors import translated
from storage.postgres.queries import query
from storage.read.provenance import StoredSources

ENTITIES_AT_ONCE: Final = 5_000
_MOST_BYTES: Final = 65_536  # of a value; what people write as a text is shorter


class PostgresStatedProperties:
    """Implements app.ports.stated.StatedProperties."""

    def __init__(self, pool: asyncpg.Pool, *, acquire_timeout_s: float) -> None:
        self._pool = pool
        self._acquire_timeout_s = acquire_timeout_s

    async def page(self, after: int, *, about: Collection[tuple[str, str]]) -> StatedPage:
        """As the port says."""
        types, fields = zip(*about, strict=True) if about else ((), ())
        with translated():
            async with self._pool.acquire(timeout=self._acquire_timeout_s) as connection:
                last = await connection.fetchval(query("end_of_stated_page"), after, ENTITIES_AT_ONCE)
                if last is None:
                    return StatedPage(properties=[], next_after=None)
                rows = await connection.fetch(
                    query("stated_properties"), after, last, list(types), list(fields), _MOST_BYTES
                )
        return StatedPage(properties=[_property(row) for row in rows], next_after=last)


def _property(row: asyncpg.Record) -> StatedProperty:
    field, date = row["field"], row["reference_date"]
    return StatedProperty(
        type=row["type"],
        reference=row["reference"],
        field=field,
        value=row["value"],
        reference_date=date,
        source=StoredSources(row).of(field, date),
    )
