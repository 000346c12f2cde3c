"""The ledger of erasures, carried into a database that was restored from before them.

The ledger holds keyed hashes, which PostgreSQL can't compute: whom an entry is about is found by hashing everybody, a
page at a time. That goes on while flushes write. It misses nobody: up to an id that is read while no flush is open
every entity is visible, and what was made since is looked through in each batch, which no flush is open in either.

A batch deletes as many rows as a piece of storage.erasure.deletions; whoever has more is hidden in it, and deleted in
pieces afterwards.
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Final

import asyncpg

from app.core.erasure import LedgerEntry, Taken
from app.core.errors import FatalError
from app.core.models import Changes, EntityKey
from storage.cache.invalidation import PendingInvalidations
from storage.erasure.deletions import Hidden, hide
from storage.erasure.eraser import erased_changes
from storage.postgres.errors import translated
from storage.postgres.pools import Connection
from storage.postgres.queries import query
from storage.write.changes import changes_at, union
from storage.write.erasure_ledger import ErasureLedger, erasure_of, spelled_ends

_BATCH: Final = 200  # entries in a transaction, which keeps writers waiting
_PAGE: Final = 10_000  # entities that are hashed at a time
_PREFETCH: Final = 1_000


class PostgresErasureTransfer:
    """Implements app.ports.erasure.ErasureTransfer on the primary."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        invalidations: PendingInvalidations,
        ledger: ErasureLedger,
        *,
        piece_rows: int,
        acquire_timeout_s: float,
    ) -> None:
        self._pool = pool
        self._invalidations = invalidations
        self._ledger = ledger
        self._piece_rows = piece_rows
        self._acquire_timeout_s = acquire_timeout_s

    async def entries(self, *, since: datetime | None = None) -> AsyncIterator[LedgerEntry]:
        with translated():
            async with (
                self._pool.acquire(timeout=self._acquire_timeout_s) as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                async for row in connection.cursor(query("ledger_entries"), since, prefetch=_PREFETCH):
                    yield _entry(row)

    async def take(
        self, entries: Sequence[LedgerEntry], *, made_since: datetime | None = None
    ) -> AsyncIterator[Sequence[Taken]]:
        fingerprint = self._ledger.fingerprint.hex()
        if any(entry.key_fingerprint not in (None, fingerprint) for entry in entries):
            raise FatalError(
                "The erasures were noted under another key: set PROFILE_ERASURE_KEY to the one of then."
            )
        latest = _latest(entries)
        subjects = sorted(latest)
        with translated():
            async with self._pool.acquire(timeout=self._acquire_timeout_s) as connection:
                search = _Search(self._ledger, connection, latest.keys())
                await search.begin()
                for start in range(0, len(subjects), _BATCH):
                    batch = {subject: latest[subject] for subject in subjects[start : start + _BATCH]}
                    yield await self._take(connection, batch, search, made_since)

    async def _take(
        self,
        connection: Connection,
        batch: Mapping[bytes, LedgerEntry],
        search: "_Search",
        made_since: datetime | None,
    ) -> list[Taken]:
        """One transaction: what became of its entries."""
        changes: list[Changes] = []
        room = self._piece_rows
        async with self._invalidations.commit() as commit:
            async with connection.transaction():
                await connection.execute(query("begin_erasure"))
                await search.go_on()
                new = {row["subject"] for row in await self._note(connection, batch)}
                taken = []
                for subject, entry in batch.items():
                    row = await self._there(connection, search.found.get(subject))
                    brought_back = (
                        row is not None and made_since is not None and row["created_at"] >= made_since
                    )
                    if not brought_back and subject not in new:
                        continue  # known before: who is there was told anew
                    told = Taken(ledger_id=entry.ledger_id, erased_at=entry.erased_at, outcome="noted")
                    if row is not None and not brought_back and row["created_at"] > entry.erased_at:
                        told = replace(told, outcome="kept")
                    elif row is not None:
                        rows = await connection.fetchval(query("rows_of_entities"), [row["id"]], room + 1)
                        if rows > room:
                            told = await self._hide(connection, row, subject, told, changes)
                        else:
                            room -= rows
                            told = await self._erase(connection, row, subject, told, changes)
                    taken.append(told)
                commit.begins(partial(changes_at, union(changes)))
            commit.reached(await connection.fetchval(query("flush_position")))
        return taken

    async def _note(
        self, connection: Connection, batch: Mapping[bytes, LedgerEntry]
    ) -> Sequence[asyncpg.Record]:
        entries = list(batch.values())
        rows: Sequence[asyncpg.Record] = await connection.fetch(
            query("take_entries"),
            list(batch),
            [entry.erased_at for entry in entries],
            self._ledger.fingerprint,
            [None if e.reference_hash is None else bytes.fromhex(e.reference_hash) for e in entries],
            [entry.properties for entry in entries],
            [entry.edges for entry in entries],
            [entry.points for entry in entries],
            [entry.letters for entry in entries],
        )
        known = [(subject, entry) for subject, entry in batch.items() if entry.log_ends is not None]
        if known:
            await connection.execute(
                query("take_log_ends"),
                [subject for subject, _ in known],
                [entry.erased_at for _, entry in known],
                [spelled_ends(entry.log_ends or {}) for _, entry in known],
            )
        return rows

    async def _there(self, connection: Connection, entity_id: int | None) -> asyncpg.Record | None:
        """The row of an entity that was found, unless it is gone."""
        if entity_id is None:
            return None
        row: asyncpg.Record | None = await connection.fetchrow(query("entity_to_erase_again"), entity_id)
        return row

    async def _erase(
        self,
        connection: Connection,
        row: asyncpg.Record,
        subject: bytes,
        told: Taken,
        changes: list[Changes],
    ) -> Taken:
        ledger = self._ledger
        await connection.execute(query("mark_erased"), row["id"], subject)
        gone = await connection.fetchrow(
            query("erase_again"),
            row["id"],
            subject,
            ledger.subject_of_reference(row["reference"]),
            ledger.subject_of_id(row["id"]),
        )
        assert gone is not None  # noqa: S101 - scalars are one row
        changes.append(erased_changes(row, gone))
        return replace(
            told,
            outcome="erased",
            properties=gone["properties"],
            edges=gone["edges"],
            points=gone["points"],
        )

    async def _hide(
        self,
        connection: Connection,
        row: asyncpg.Record,
        subject: bytes,
        told: Taken,
        changes: list[Changes],
    ) -> Taken:
        ledger = self._ledger
        erased_at: datetime = await connection.fetchval(
            query("note_hidden_again"),
            subject,
            ledger.subject_of_reference(row["reference"]),
            ledger.subject_of_id(row["id"]),
        )
        key = EntityKey(row["type"], row["reference"])
        hidden = Hidden(entity_id=row["id"], key=key, properties=row["properties"])
        changes.append(await hide(connection, ledger, [hidden], subject=subject, erased_at=erased_at))
        return replace(told, outcome="erased", properties=row["fields"], deleting=True)


class _Search:
    """Whose keyed hashes are wanted, and which ids they have."""

    def __init__(self, ledger: ErasureLedger, connection: Connection, wanted: Collection[bytes]) -> None:
        self._ledger = ledger
        self._connection = connection
        self._wanted = wanted
        self._seen = 0  # everybody up to this id was looked at
        self.found: dict[bytes, int] = {}

    async def begin(self) -> None:
        """Look at everybody that there is, while flushes may write."""
        async with self._connection.transaction():
            await self._connection.execute(query("begin_erasure"))
            last: int = await self._connection.fetchval(query("last_entity"))
        await self._look(last)

    async def go_on(self) -> None:
        """Look at who was made since; to be called while no flush is open."""
        await self._look(None)

    async def _look(self, last: int | None) -> None:
        while rows := await self._connection.fetch(query("entities_from"), self._seen, last, _PAGE):
            for row in rows:
                subject = self._ledger.subject(EntityKey(row["type"], row["reference"]))
                if subject in self._wanted:
                    self.found[subject] = row["id"]
            self._seen = rows[-1]["id"]


def _latest(entries: Sequence[LedgerEntry]) -> dict[bytes, LedgerEntry]:
    """By subject; of one that is told twice, the latest erasure."""
    found: dict[bytes, LedgerEntry] = {}
    for entry in entries:
        subject = bytes.fromhex(entry.ledger_id)
        if subject not in found or found[subject].erased_at < entry.erased_at:
            found[subject] = entry
    return found


def _entry(row: asyncpg.Record) -> LedgerEntry:
    return LedgerEntry(
        ledger_id=row["subject"].hex(),
        erased_at=row["erased_at"],
        key_fingerprint=row["key_fingerprint"].hex(),
        reference_hash=None if row["reference_subject"] is None else row["reference_subject"].hex(),
        id_hash=None if row["id_subject"] is None else row["id_subject"].hex(),
        properties=row["properties"],
        edges=row["edges"],
        points=row["points"],
        letters=row["letters"],
        log_ends=erasure_of(row).log_ends,
    )
