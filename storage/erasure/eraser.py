"""Erasure: an entity, its edges and its points leave in one transaction, and do not come back."""

from collections.abc import Sequence
from functools import partial

import asyncpg

from app.core.erasure import ErasureReceipt, LogPositions
from app.core.models import Changes, EntityKey, Lookup
from storage.cache.invalidation import PendingInvalidations
from storage.postgres.errors import translated
from storage.postgres.pools import Connection
from storage.postgres.queries import query
from storage.write.changes import add_lookups, changes_at
from storage.write.erasure_ledger import ErasureLedger, spelled_ends
from storage.write.placeholders import merged


class PostgresEraser:
    """Implements app.ports.erasure.ProfileEraser."""

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

    async def erase(self, key: EntityKey, *, log_ends: LogPositions | None = None) -> ErasureReceipt | None:
        """As the port says; what lies before `log_ends` in the topics is from before."""
        return await self._erase("entity_to_erase", key, log_ends, subject=self._ledger.subject(key))

    async def erase_id(
        self, entity_id: int, *, log_ends: LogPositions | None = None
    ) -> ErasureReceipt | None:
        """The same by id."""
        by_id = self._ledger.subject_of_id(entity_id)
        return await self._erase("entity_to_erase_by_id", [entity_id], log_ends, by_id=by_id)

    async def receipt(self, ledger_id: str) -> ErasureReceipt | None:
        with translated():
            async with self._pool.acquire(timeout=self._acquire_timeout_s) as connection:
                return await self._noted(connection, subject=bytes.fromhex(ledger_id))

    async def _erase(
        self,
        find: str,
        named: Sequence[object],
        log_ends: LogPositions | None,
        *,
        subject: bytes | None = None,
        by_id: bytes | None = None,
    ) -> ErasureReceipt | None:
        async with self._invalidations.commit() as commit:
            with translated():
                async with self._pool.acquire(timeout=self._acquire_timeout_s) as connection:
                    async with connection.transaction():
                        await connection.execute(query("begin_erasure"))
                        found = await connection.fetchrow(query(find), *named)
                        if found is None:
                            # Erased before; the answer to that may have been lost with its connection.
                            return await self._noted(connection, subject=subject, by_id=by_id)
                        placeholders = await connection.fetch(query("placeholder_of_erased"), found["id"])
                        merges = await merged(connection, placeholders) if placeholders else None
                        gone = await self._delete(connection, found, log_ends)
                        commit.begins(partial(changes_at, erased_changes(found, gone, merges)))
                    position: int = await connection.fetchval(query("flush_position"))
                    commit.reached(position)
        return self._receipt(gone, position)

    async def _delete(
        self, connection: Connection, found: asyncpg.Record, log_ends: LogPositions | None
    ) -> asyncpg.Record:
        key = EntityKey(found["type"], found["reference"])
        subject = self._ledger.subject(key)
        await connection.execute(query("mark_erased"), found["id"], subject)
        gone: asyncpg.Record | None = await connection.fetchrow(
            query("erase_entity"),
            found["id"],
            subject,
            self._ledger.fingerprint,
            self._ledger.subject_of_reference(key.reference),
            self._ledger.subject_of_id(found["id"]),
            None if log_ends is None else spelled_ends(log_ends),
        )
        assert gone is not None  # noqa: S101 - an insert that returns is one row
        return gone

    async def _noted(
        self, connection: Connection, *, subject: bytes | None = None, by_id: bytes | None = None
    ) -> ErasureReceipt | None:
        noted = await connection.fetchrow(query("noted_erasure"), subject, by_id)
        if noted is None:
            return None
        return self._receipt(noted, await connection.fetchval(query("flush_position")))

    def _receipt(self, noted: asyncpg.Record, position: int) -> ErasureReceipt:
        return ErasureReceipt(
            ledger_id=noted["subject"].hex(),
            erased_at=noted["erased_at"],
            properties=noted["properties"],
            edges=noted["edges"],
            points=noted["points"],
            letters=noted["letters"],
            letters_checked_at=noted["letters_checked_at"],
            letters_left=noted["letters_left"],
            letters_left_ids=tuple(noted["letters_left_ids"]),
            log_ends_known=noted["log_ends_known"],
            caches_told=self._invalidations.settled,
            position=position,
        )


def erased_changes(found: asyncpg.Record, gone: asyncpg.Record, merges: Changes | None = None) -> Changes:
    """What caches are told of an erasure, whose position is not known yet."""
    entities, keys = (
        (frozenset[int](), frozenset[EntityKey]()) if merges is None else (merges.entities, merges.keys)
    )
    lookups = set[Lookup]()
    add_lookups(found["properties"], lookups)
    return Changes(
        position=0,
        entities=entities | {found["id"], *(gone["neighbours"] or ())},
        keys=keys | {EntityKey(found["type"], found["reference"])},
        lookups=frozenset(lookups),
    )
