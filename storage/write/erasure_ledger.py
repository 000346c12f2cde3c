"""The ledger of erasures: an erased entity stays erased.

What a record tells about an erased entity (an edge: about either end; a placeholder of its reference alone, where no
other entity may be meant) is dropped where it was told not later than the
erasure, or lay in its topic when that began, since a timestamp may be ahead. A flush holds a shared advisory lock and
reads the ledger in a statement after the lock is held; an erasure holds the exclusive one. So no flush is open across
an erasure, and one that comes after it sees the ledger. A flush that removes edges holds the exclusive one too, since
it dates the removal: what another one wrote before is older.

The ledger holds keyed hashes (BLAKE2b, RFC 7693), counts and dates, and nothing else of whom it is about.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Final

import asyncpg

from app.core.erasure import MOST_AHEAD, Erasure, LogPositions
from app.core.errors import FatalError
from app.core.models import Batch, EdgeRow, EntityKey, EntityRow, PropertyRow, RecordSource, TemporalRow
from storage.postgres.pools import Connection
from storage.postgres.queries import query

_MAX_KEY_BYTES: Final = 64
_UNKNOWN: Final = "unknown"  # the type of placeholders
_ERASED: Final = 1
_REMOVED: Final = 2
Erased = Mapping[EntityKey, Erasure]
Told = EntityRow | PropertyRow | EdgeRow | TemporalRow


class ErasureLedger:
    """Reads the ledger under one secret key."""

    def __init__(self, secret: str) -> None:
        # Any length: longer secrets are hashed to the most that BLAKE2b takes.
        self._key = blake2b(secret.encode(), digest_size=_MAX_KEY_BYTES).digest()

    @property
    def fingerprint(self) -> bytes:
        """Tells one key from another, and nothing of the key."""
        return blake2b(b"fingerprint", key=self._key, digest_size=8).digest()

    def subject(self, key: EntityKey) -> bytes:
        """The keyed hash of an entity."""
        return blake2b(f"{key.type}\0{key.reference}".encode(), key=self._key, digest_size=32).digest()

    def subject_of_reference(self, reference: str) -> bytes:
        """The keyed hash of a reference alone, for what names an entity without its type."""
        return blake2b(reference.encode(), key=self._key, digest_size=32, person=b"reference").digest()

    def subject_of_id(self, entity_id: int) -> bytes:
        """The keyed hash of an id. Ids are never given twice."""
        return blake2b(str(entity_id).encode(), key=self._key, digest_size=32, person=b"id").digest()

    async def require_key(self, connection: Connection) -> None:
        """Raise FatalError where the ledger was written under another key, since erasures would be forgotten."""
        if await connection.fetchval(query("foreign_fingerprint"), self.fingerprint):
            raise FatalError(
                "The ledger of erasures was written under another key: set PROFILE_ERASURE_KEY to the one of then."
            )

    async def begin_flush(self, connection: Connection, batch: Batch) -> Batch:
        """Take the writers' lock for this transaction, and return what is left of the batch."""
        if batch.removed_edges:
            await connection.execute(query("begin_erasure"))
            anything = await connection.fetchval(query("anything_erased"))
        else:
            anything = await connection.fetchval(query("begin_flush"))
        if anything & _REMOVED and batch.edges:
            batch = await _dated(connection, batch)
        if not anything & _ERASED:
            return batch
        subjects = {self.subject(key): key for key in batch.keys}
        rows = await connection.fetch(query("erased_subjects"), list(subjects))
        erased = {subjects[row["subject"]]: erasure_of(row) for row in rows}
        unknown = {key for key in batch.keys if key.type == _UNKNOWN}
        erased |= await self._erased_placeholders(connection, unknown)
        return surviving(batch, erased) if erased else batch

    async def _erased_placeholders(
        self, connection: Connection, keys: Collection[EntityKey]
    ) -> dict[EntityKey, Erasure]:
        """Those placeholders that would bear the reference of an erased entity, and can be about nobody else.

        An entity of another type that bears the reference, and was not erased, may be meant.
        """
        references = {self.subject_of_reference(key.reference): key.reference for key in keys}
        if not references:
            return {}
        found: dict[str, list[Erasure]] = {}
        for row in await connection.fetch(query("erased_references"), list(references)):
            found.setdefault(references[row["reference_subject"]], []).append(erasure_of(row))
        if not found:
            return {}
        bearers = [
            EntityKey(row["type"], row["reference"])
            for row in await connection.fetch(query("bearers_of_references"), list(found))
        ]
        subjects = {self.subject(key): key for key in bearers}
        rows = await connection.fetch(query("erased_subjects"), list(subjects))
        others = set(bearers) - {subjects[row["subject"]] for row in rows}
        for reference in {key.reference for key in others}:
            del found[reference]
        return {
            EntityKey(_UNKNOWN, reference): max(erasures, key=lambda erasure: erasure.erased_at)
            for reference, erasures in found.items()
        }


async def _dated(connection: Connection, batch: Batch) -> Batch:
    """The batch with edges of records that are stamped ahead, and lay in their topics at a removal, dated by it.

    So they are not later than the removal, of whatever edges that was, and don't bring back what it took.
    """
    times = [row.told_at for row in batch.edges if isinstance(row.source, RecordSource)]
    if not times:
        return batch
    found = await connection.fetch(query("removals_between"), min(times) - MOST_AHEAD, max(times))
    if not found:
        return batch
    removals = [erasure_of(row) for row in found]
    return replace(batch, edges=[dated(row, removals) for row in batch.edges])


def dated(row: EdgeRow, removals: Sequence[Erasure]) -> EdgeRow:
    """The edge as of the first of these removals, in order of time, before which its record lay in its topic."""
    place = row.source
    if isinstance(place, RecordSource):
        for removal in removals:
            if removal.erased_at >= row.told_at:
                break
            if not removal.precedes(row.told_at, place):
                return row._replace(told_at=removal.erased_at)
    return row


def spelled_ends(log_ends: LogPositions) -> str:
    """As JSON text."""
    return json.dumps({name: list(ends) for name, ends in log_ends.items()})


def erasure_of(row: asyncpg.Record) -> Erasure:
    """Of a row with `erased_at` and `log_ends`, which is JSON text or null."""
    ends = row["log_ends"]
    return Erasure(erased_at=row["erased_at"], log_ends=None if ends is None else json.loads(ends))


def surviving(batch: Batch, erased: Erased) -> Batch:
    """The batch without rows about these from before they were erased."""

    def stands(kind: str, reference: str, row: Told) -> bool:
        erasure = erased.get(EntityKey(kind, reference))
        place = row.source if isinstance(row.source, RecordSource) else None
        return erasure is None or erasure.precedes(row.told_at, place)

    return Batch(
        entities=[row for row in batch.entities if stands(row.type, row.reference, row)],
        properties=[row for row in batch.properties if stands(row.type, row.reference, row)],
        edges=[
            row
            for row in batch.edges
            if stands(row.left_type, row.left_reference, row)
            and stands(row.right_type, row.right_reference, row)
        ],
        temporal=[row for row in batch.temporal if stands(row.type, row.reference, row)],
        removed_edges=batch.removed_edges,
    )
