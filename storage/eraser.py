"""Erasure: an entity, its edges and its points leave in one transaction, and do not come back."""

from dataclasses import replace

import asyncpg

from app.models import Changes, EntityKey
from app.ports import ErasureReceipt
from storage.changes import lookups_in
from storage.errors import translated
from storage.invalidation import PendingInvalidations
from storage.ledger import ErasureLedger
from storage.queries import query


class PostgresEraser:
    """Implements app.ports.ProfileEraser."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        invalidations: PendingInvalidations,
        ledger: ErasureLedger,
        *,
        acquire_timeout_s: float,
    ) -> None:
        self._pool = pool
        self._invalidations = invalidations
        self._ledger = ledger
        self._acquire_timeout_s = acquire_timeout_s

    async def erase(self, key: EntityKey) -> ErasureReceipt | None:
        subject = self._ledger.subject(key)
        changes = None
        with translated():
            async with self._pool.acquire(timeout=self._acquire_timeout_s) as connection:
                try:
                    async with connection.transaction():
                        await connection.execute(query("begin_erasure"))
                        found = await connection.fetchrow(query("entity_to_erase"), key.type, key.reference)
                        if found is None:
                            return None
                        await connection.execute(query("mark_erased"), found["id"], subject)
                        gone = await connection.fetchrow(
                            query("erase_entity"), found["id"], subject, self._ledger.fingerprint
                        )
                        assert gone is not None  # noqa: S101 - scalars are one row
                        changes = _changes(key, found, gone)
                    position: int = await connection.fetchval(query("flush_position"))
                except BaseException:
                    # It may have committed, and a retry would find nobody to erase.
                    if changes is not None:
                        await self._invalidations.submit(changes)
                    raise
        await self._invalidations.submit(replace(changes, position=position))
        return ErasureReceipt(
            entity_id=found["id"],
            ledger_id=subject.hex(),
            erased_at=gone["erased_at"],
            edges=gone["edges"],
            points=gone["points"],
        )


def _changes(key: EntityKey, found: asyncpg.Record, gone: asyncpg.Record) -> Changes:
    """What caches are told of an erasure, whose position is not known yet."""
    return Changes(
        position=0,
        entities=frozenset([found["id"], *(gone["neighbours"] or ())]),
        keys=frozenset([key]),
        lookups=lookups_in([found["properties"]]),
    )
