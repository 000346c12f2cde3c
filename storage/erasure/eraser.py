"""Erasure: an entity, its edges and its points leave in one transaction, and do not come back.

One with more rows than a piece has is hidden in that transaction, and they leave in pieces: storage.erasure.deletions.
"""

from collections.abc import Sequence
from functools import partial

import asyncpg

from app.core.erasure import DeletionProgress, ErasureReceipt, LogPositions
from app.core.models import Changes, EntityKey, Lookup
from storage.cache.invalidation import PendingInvalidations
from storage.erasure.deletions import Hidden, PostgresDeletions, hide
from storage.postgres.errors import translated
from storage.postgres.pools import Connection
from storage.postgres.queries import query
from storage.write.changes import add_lookups, changes_at
from storage.write.erasure_ledger import ErasureLedger, spelled_ends
from storage.write.placeholders import UNKNOWN, merged


class PostgresEraser:
    """Implements app.ports.erasure.ProfileEraser."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        invalidations: PendingInvalidations,
        ledger: ErasureLedger,
        deletions: PostgresDeletions,
        *,
        piece_rows: int,
        acquire_timeout_s: float,
    ) -> None:
        self._pool = pool
        self._invalidations = invalidations
        self._ledger = ledger
        self._deletions = deletions
        self._piece_rows = piece_rows
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
                        ids = [found["id"], *(row["old_id"] for row in placeholders)]
                        most = self._piece_rows
                        is_large = await connection.fetchval(query("rows_of_entities"), ids, most + 1) > most
                        if is_large:
                            changes = await self._hide(connection, found, placeholders, log_ends)
                        else:
                            merges = (await merged(connection, placeholders))[1] if placeholders else None
                            gone = await self._delete(connection, found, log_ends)
                            changes = erased_changes(found, gone, merges)
                        commit.begins(partial(changes_at, changes))
                    position: int = await connection.fetchval(query("flush_position"))
                    commit.reached(position)
                    if is_large:
                        self._deletions.begin()
                        key = EntityKey(found["type"], found["reference"])
                        (gone,) = await connection.fetch(
                            query("noted_erasure"), self._ledger.subject(key), None
                        )
        return self._receipt(gone, position)

    async def _hide(
        self,
        connection: Connection,
        found: asyncpg.Record,
        placeholders: Sequence[asyncpg.Record],
        log_ends: LogPositions | None,
    ) -> Changes:
        """Note the erasure, and hide the entity and the placeholder that is it."""
        key = EntityKey(found["type"], found["reference"])
        subject = self._ledger.subject(key)
        erased_at = await connection.fetchval(
            query("note_hidden"),
            subject,
            self._ledger.fingerprint,
            self._ledger.subject_of_reference(key.reference),
            self._ledger.subject_of_id(found["id"]),
            None if log_ends is None else spelled_ends(log_ends),
            found["fields"],
        )
        hidden = [Hidden(entity_id=found["id"], key=key, properties=found["properties"])]
        hidden += [
            Hidden(entity_id=row["old_id"], key=EntityKey(UNKNOWN, row["reference"]), properties="{}")
            for row in placeholders
        ]
        return await hide(connection, self._ledger, hidden, subject=subject, erased_at=erased_at)

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
            deletion=_progress(noted),
        )


def _progress(noted: asyncpg.Record) -> DeletionProgress | None:
    deleting = noted["deleting"]
    if deleting is None:
        return None
    return DeletionProgress(done=not deleting, deleted=noted["deleted"], to_delete=noted["to_delete"])


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
