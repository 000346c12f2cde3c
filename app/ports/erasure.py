"""Erasures, the ledger of them, and what happens to copies outside of the database."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from app.core.erasure import DeletionsUnderWay, ErasureReceipt, LedgerEntry, Named, Taken
from app.core.models import EntityKey


class ProfileEraser(Protocol):
    """Erases entities."""

    async def erase(self, key: EntityKey) -> ErasureReceipt | None:
        """Delete the entity, its edges on both sides and its points.

        In one transaction; an entity with more rows than a piece has is hidden in it, and they are deleted in pieces
        afterwards (see Deletions): a receipt that is asked for again says how far that is. Nothing reads it any more
        in either case. Records about it that are not later than this, or that lay in the topics when it began, are
        dropped from now on. Caches are told after the commit. Where there is no such entity, the receipt of its
        erasure, or None where there was none either. Raises TransientError (it may have been erased: ask again) or
        FatalError.
        """
        ...

    async def erase_id(self, entity_id: int) -> ErasureReceipt | None:
        """The same by id."""
        ...

    async def receipt(self, ledger_id: str) -> ErasureReceipt | None:
        """What the ledger says now of an erasure."""
        ...


class Deletions(Protocol):
    """Deletes in pieces the rows of erased entities that had too many for one transaction.

    Raises TransientError or FatalError.
    """

    @property
    def pause_s(self) -> float:
        """Between two pieces, in whichever processes."""
        ...

    async def wanted(self, wait_s: float) -> None:
        """Return when this process has begun a deletion, or after so long."""
        ...

    async def under_way(self) -> DeletionsUnderWay:
        """What is to be done, of all processes."""
        ...

    async def piece(self, *, paced: bool = True) -> bool:
        """Delete the next piece in one transaction, and tell the caches; false where there is nothing to do now.

        That is so while another process does it, before the pause since the latest piece is over, unless it is not
        `paced`, and while the replication slot keeps half of the WAL that it may keep. A paced one waits for domain
        events that are behind, half a minute at most. Idempotent; a piece that is not
        known to have committed is found done, or done again.
        """
        ...


class LogEnds(Protocol):
    """Up to where the topics that tell about entities are written."""

    async def ends(self) -> Mapping[str, Sequence[int]] | None:
        """By topic the end offset of each of its partitions now; None where that can't be known. Never raises."""
        ...


class TopicConfigs(Protocol):
    """What topics are set to on the brokers."""

    async def configs(self) -> Mapping[str, Mapping[str, str]] | None:
        """By topic its settings, as they were not long ago; None where that can't be known. Never raises.

        A topic that does not exist is left out. Answers within a second or so.
        """
        ...


class LogNotes(Protocol):
    """Where topics ended, day by day. Raises TransientError or FatalError."""

    async def note(self, ends: Mapping[str, Sequence[int]]) -> None:
        """Keep the ends of today, unless they are noted."""
        ...

    async def notes(self) -> Sequence[tuple[float, Mapping[str, Sequence[int]]]]:
        """What was noted and how many days ago, the oldest first."""
        ...


class ErasureRegister(Protocol):
    """What the ledger says of copies outside of the database. Raises TransientError or FatalError."""

    async def unchecked(self) -> Mapping[str, datetime]:
        """The erasures, by ledger id, whose dead letters have not been removed yet, and their dates."""
        ...

    async def erased_among(self, named: Sequence[Named]) -> list[frozenset[str]]:
        """For each the ledger ids of those that it is about and that were erased not before it was told."""
        ...

    async def note_letters(self, checked: Mapping[str, datetime], letters: Mapping[str, int]) -> None:
        """The dead letters of these erasures, as `unchecked` told them, are removed, so many of each."""
        ...


class LetterRegister(ErasureRegister, Protocol):
    """The same, for those who remove dead letters. Raises TransientError or FatalError."""

    async def note_removed(self, about: Mapping[str, Collection[str]]) -> None:
        """Count letters, by `topic/partition/offset`, for the ledger ids that they are about, before they are removed.

        Idempotent: of one erasure a letter counts once, however often it is removed and by whom.
        """
        ...

    async def note_left(self, checked: Mapping[str, datetime], left: Mapping[str, Collection[str]]) -> None:
        """Letters that may be about these erasures, as `unchecked` gave them, and were not removed."""
        ...

    async def swept(self) -> Mapping[str, int] | None:
        """By original topic the offset up to which its dead letters were compared with the ledger.

        None where nothing was ever erased.
        """
        ...

    async def note_swept(self, topic: str, next_offset: int) -> None:
        """The letters of the topic were compared up to here."""
        ...


class PublishFence(Protocol):
    """Between those who publish names and those who publish that somebody was erased, in whichever process.

    Raises TransientError or FatalError.
    """

    def publishing(self, ids: Collection[int]) -> AbstractAsyncContextManager[frozenset[int]]:
        """Gives those of the ids that are erased; what is published until its end may name the others."""
        ...

    async def wait_for_publishers(self) -> None:
        """Return when all who asked before what is committed now was visible have published."""
        ...

    def alone(self, ids: Collection[int]) -> AbstractAsyncContextManager[frozenset[int]]:
        """Gives those of the ids that are erased. Until its end nobody publishes: be done within seconds."""
        ...


class ErasureTransfer(Protocol):
    """Carries the ledger into a database that was restored from before. Raises TransientError or FatalError.

    Both databases have to be under the same PROFILE_ERASURE_KEY.
    """

    def entries(self, *, since: datetime | None = None) -> AsyncIterator[LedgerEntry]:
        """The ledger, in one snapshot of the primary, by the date of the erasure; `since`: not those before."""
        ...

    def take(
        self, entries: Sequence[LedgerEntry], *, made_since: datetime | None = None
    ) -> AsyncIterator[Sequence[Taken]]:
        """Note the entries that the ledger lacks, or has with an older date, and erase whom they are about.

        In batches, each in one transaction in which no flush is open, and told when it has committed; caches are told
        by then. So what breaks off may be repeated, and what the ledger has already is left alone. `made_since`: erase
        as well whoever was made since then, though it was after the erasure, and though the ledger has the entry.
        """
        ...


class LetterSweeper(Protocol):
    """Removes the dead letters about erased entities."""

    async def swept(self, *, wait_s: float) -> None:
        """Begin now what is due; return when it was tried, or after so long. Never raises."""
        ...
