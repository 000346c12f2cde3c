"""Names after an erasure: who publishes one has asked the ledger, and who publishes the erasure waits for them.

A publisher holds a shared advisory lock from its question until the broker has its events. Who publishes an erasure,
whose commit is visible by then, takes the exclusive one once: after it each publisher has either published or asks
later, and gets the erasure. A lock ends with its transaction, whatever ends that.
"""

from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import asyncpg

from storage.postgres.errors import translated
from storage.postgres.queries import query
from storage.write.erasure_ledger import ErasureLedger

_BATCH: Final = 50_000


class PostgresPublishFence:
    """Implements app.ports.erasure.PublishFence on the primary."""

    def __init__(self, pool: asyncpg.Pool, ledger: ErasureLedger, *, acquire_timeout_s: float) -> None:
        self._pool = pool
        self._ledger = ledger
        self._acquire_timeout_s = acquire_timeout_s

    @asynccontextmanager
    async def publishing(self, ids: Collection[int]) -> AsyncIterator[frozenset[int]]:
        """As the port says. Without ids nothing is asked and nothing is held."""
        if not ids:
            yield frozenset()
            return
        subjects = {self._ledger.subject_of_id(number): number for number in ids}
        async with AsyncExitStack() as held:
            with translated():
                connection = await held.enter_async_context(
                    self._pool.acquire(timeout=self._acquire_timeout_s)
                )
                await held.enter_async_context(connection.transaction())
                # A statement of its own, so that the next one sees what was committed before the lock was given.
                await connection.execute(query("begin_publishing"))
                rows = await connection.fetch(query("erased_ids"), list(subjects))
            yield frozenset(subjects[row["id_subject"]] for row in rows)
            with translated():
                await held.aclose()

    async def wait_for_publishers(self) -> None:
        """As the port says."""
        with translated():
            async with self._pool.acquire(timeout=self._acquire_timeout_s) as connection:
                await connection.execute(query("wait_for_publishers"))

    @asynccontextmanager
    async def alone(self, ids: Collection[int]) -> AsyncIterator[frozenset[int]]:
        """As the port says."""
        subjects = {self._ledger.subject_of_id(number): number for number in ids}
        asked = list(subjects)
        async with AsyncExitStack() as held:
            erased: set[int] = set()
            with translated():
                connection = await held.enter_async_context(
                    self._pool.acquire(timeout=self._acquire_timeout_s)
                )
                await held.enter_async_context(connection.transaction())
                await connection.execute(query("wait_for_publishers"))
                for start in range(0, len(asked), _BATCH):
                    rows = await connection.fetch(query("erased_ids"), asked[start : start + _BATCH])
                    erased.update(subjects[row["id_subject"]] for row in rows)
            yield frozenset(erased)
            with translated():
                await held.aclose()
