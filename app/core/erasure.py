"""What is told of erasures, and by what an erased entity is recognised. No personal data but in `Named`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from app.core.models import EntityKey, RecordSource

LogPositions = Mapping[str, Sequence[int]]  # by topic an offset in each of its partitions

# A broker takes no record that is stamped further ahead (`message.timestamp.after.max.ms`, an hour by default). So what
# is stamped later than this after an erasure is from after it, wherever it lies: a topic may have been created again.
MOST_AHEAD: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """An erasure of an entity, for comparison with records about it."""

    erased_at: datetime
    log_ends: LogPositions | None  # when it began; None where that is not known

    def precedes(self, told_at: datetime, place: RecordSource | None) -> bool:
        """Whether the record with this timestamp, at this place, is from after the erasure."""
        if told_at <= self.erased_at:
            return False
        return not (self._holds(place) and told_at <= self.erased_at + MOST_AHEAD)

    def _holds(self, place: RecordSource | None) -> bool:
        """Whether the record lay in its topic when the erasure began."""
        if place is None or self.log_ends is None:
            return False
        ends = self.log_ends.get(place.topic, ())
        return place.partition < len(ends) and place.offset < ends[place.partition]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletionProgress:
    """How far the deletion of an erased entity's rows is, where it is done in pieces. `done`: all are gone.

    `to_delete` is None until they are counted, by the first piece.
    """

    done: bool
    deleted: int
    to_delete: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletionsUnderWay:
    """The deletions in pieces that are not done, of all processes. `still_s`: since the latest piece of any."""

    deletions: int
    rows_left: int
    still_s: float
    slot_has_room: bool  # they wait while it has none


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasureReceipt:
    """What an erasure removed. `ledger_id` is the keyed hash that remains, in hexadecimal.

    `caches_told` is false while some cache has not taken the invalidation; it is retried. `letters` is how many dead
    letters about the entity were removed; while `letters_checked_at` is None, that is still to be done. `letters_left`
    is how many may be about it and were left, and `letters_left_ids` the first of them. `log_ends_known`: the ledger
    knows what lay in the topics at the erasure. `position` is the primary's WAL flush position after it. `deletion` is
    there where rows are deleted in pieces; until it is done, `edges` and `points` are those that are gone.
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
    letters_left: int = 0
    letters_left_ids: tuple[str, ...] = ()
    log_ends_known: bool = False
    deletion: DeletionProgress | None = None


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
    place: RecordSource | None = None  # where the record lies, where that is known
    doubtful: frozenset[str] = frozenset()  # texts that may be references, and are not taken for any
    cut: bool = False  # it names more than was looked at


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
    log_ends: LogPositions | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What became of an entry that a ledger did not have, and how much was removed for it.

    `noted`: there was no such entity. `erased`: it was there, and is gone. `kept`: it was there and was made after the
    erasure: told anew, or brought back by a replay before the ledger knew. `deleting`: it is hidden, and its rows are
    deleted in pieces.
    """

    ledger_id: str
    erased_at: datetime
    outcome: Literal["noted", "erased", "kept"]
    properties: int = 0
    edges: int = 0
    points: int = 0
    deleting: bool = False
