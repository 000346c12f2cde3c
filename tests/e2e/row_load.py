"""Writers past all workers: what the service writes, and shapes that try a change stream."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import asyncpg

from tests.e2e.row_shapes import SHAPES, add_edge, add_point, entity

__all__ = ["RowLoad", "in_order"]

SHARED: Final = 6  # entities that all writers change
_AWAY: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.OperatorInterventionError,
    OSError,
)


class RowLoad:
    """Several connections at once, through outages of the primary; `copied` is what COPY has committed or tried."""

    def __init__(self, dsn: str, *, writers: int = 4) -> None:
        self._dsn = dsn
        self._writers = writers
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []
        self._shared: list[int] = []
        self.copied = 0
        self.committed = 0
        self.shapes: Counter[str] = Counter()

    async def start(self) -> None:
        connection = await asyncpg.connect(self._dsn)
        for number in range(SHARED):
            self._shared.append(await entity(connection, f"shared-{number}"))
        await connection.close()
        self._tasks = [asyncio.create_task(self._write(number)) for number in range(self._writers)]

    async def stop(self) -> None:
        """Let each writer end its transaction; raises what one of them failed with."""
        self._stopping = True
        await asyncio.gather(*self._tasks)

    async def copy(self, rows: int) -> int:
        """One transaction with a COPY, whose rows share their positions in the WAL page by page; returns its id."""
        number = self.copied = self.copied + 1
        connection = await asyncpg.connect(self._dsn)
        try:
            async with connection.transaction():
                await connection.copy_records_to_table(
                    "entities",
                    records=[("device", f"copy-{number}-{n}") for n in range(rows)],
                    columns=("type", "reference"),
                )
                await connection.execute(
                    "CREATE TEMP TABLE staged ON COMMIT DROP AS SELECT id FROM entities WHERE reference LIKE $1",
                    f"copy-{number}-%",
                )
                await connection.execute(
                    "UPDATE entities SET properties = jsonb_build_object('n', jsonb_build_object('value', id)) "
                    "WHERE id IN (SELECT id FROM staged WHERE id % 4 = 0)"
                )
                transaction: int = await connection.fetchval("SELECT pg_current_xact_id()::text::bigint")
        finally:
            await connection.close()
        return transaction

    async def _write(self, number: int) -> None:
        chance = random.Random(number)
        connection: Any = None
        turn = 0
        while not self._stopping:
            turn += 1
            try:
                if connection is None:
                    connection = await asyncpg.connect(self._dsn, timeout=5)
                await self._transaction(connection, chance, f"w{number}-{turn}")
                await asyncio.sleep(chance.uniform(0, 0.2))
            except (*_AWAY, TimeoutError):
                if connection is not None:
                    connection.terminate()
                connection = None
                await asyncio.sleep(0.1)
        if connection is not None:
            await connection.close()

    async def _transaction(self, connection: Any, chance: random.Random, name: str) -> None:
        """Several tables and, last of all, an entity that others change; now and then all of it is undone."""
        transaction = connection.transaction()
        await transaction.start()
        own = await entity(connection, name)
        await asyncio.sleep(chance.uniform(0, 0.01))  # others commit in between
        for key in ("tpv", "visits"):
            await add_point(connection, own, key)
        await add_edge(connection, own, chance.choice(self._shared))
        await connection.execute("UPDATE entities SET updated_at = now() WHERE id = $1", own)  # no event
        await asyncio.sleep(chance.uniform(0, 0.01))
        await connection.execute(
            "UPDATE temporal_properties SET value = '{\"n\": 2}' WHERE entity_id = $1 AND key = 'tpv'", own
        )
        await connection.execute(
            "DELETE FROM temporal_properties WHERE entity_id = $1 AND key = 'visits'", own
        )
        await connection.execute(
            'UPDATE edges SET metadata = \'{"role": "owner"}\' WHERE left_entity_id = $1', own
        )
        await entity(connection, f"{name}-short")
        await connection.execute("DELETE FROM entities WHERE reference = $1", f"{name}-short")
        await connection.execute(
            "UPDATE entities SET properties = jsonb_build_object('told', jsonb_build_object('value', $2::text)) "
            "WHERE id = $1",
            chance.choice(self._shared),
            name,
        )
        if chance.random() < 0.1:
            await transaction.rollback()
            return
        await transaction.commit()
        self.committed += 1
        shape = chance.choice(SHAPES)
        await shape(connection, chance, self._shared, f"{name}-s")
        self.shapes[shape.__name__] += 1


def in_order(positions: Sequence[int]) -> bool:
    """Whether they grow."""
    return all(earlier < later for earlier, later in pairwise(positions))
