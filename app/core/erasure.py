"""What is told of erasures, and by what an erased entity is recognised. No personal data but in `Named`."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from app.core.models import EntityKey


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasureReceipt:
    """What an erasure removed. `ledger_id` is the keyed hash that remains, in hexadecimal.

    `caches_told` is false while some cache has not taken the invalidation; it is retried. `letters` is how many dead
    letters about the entity were removed; while `letters_checked_at` is None, that is still to be done. `position` is
    the primary's WAL flush position after the erasure.
    """

    ledger_id: str
    erased_at: datetime
    properties: int
    edges: int
    points: int
    letters: int
    letters_checked_at: datetime | None
    caches_told: bool
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """Whom a record may be about: what it names, and when it was told.

    `references` are named without a type. Ids are never given twice, so what names the id of an erased entity is about
    it whenever it was told.
    """

    keys: frozenset[EntityKey]
    references: frozenset[str]
    ids: frozenset[int]
    told_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """A row of the ledger, which another database may have to know. Hashes are keyed, in hexadecimal.

    Of an entry that was put together from a receipt or from the audit log, only the first two are known.
    """

    ledger_id: str
    erased_at: datetime
    key_fingerprint: str | None = None
    reference_hash: str | None = None
    id_hash: str | None = None
    properties: int = 0
    edges: int = 0
    points: int = 0
    letters: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What became of an entry that a ledger did not have, and how much was removed for it.

    `noted`: there was no such entity. `erased`: it was there, and is gone. `kept`: it was there and was made after the
    erasure: told anew, or brought back by a replay before the ledger knew.
    """

    ledger_id: str
    erased_at: datetime
    outcome: Literal["noted", "erased", "kept"]
    properties: int = 0
    edges: int = 0
    points: int = 0
