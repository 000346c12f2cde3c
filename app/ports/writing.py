"""Writes of the graph, as agents and web ask for them."""

from datetime import datetime
from typing import Protocol

from app.core.models import Batch, Changes
from app.core.preview import Preview


class ProfileWriter(Protocol):
    """Writes one batch in one transaction, then invalidates caches."""

    async def write(self, batch: Batch) -> Changes:
        """Commit the batch and return what changed.

        Idempotent and independent of order: the last writer by reference date wins, against what is stored
        too. A failure of the cache never fails a write. Raises TransientError (nothing committed, or it is
        not known whether it was; write it again), InvalidError (PostgreSQL refuses a value: split the batch
        to find it) or FatalError.
        """
        ...

    async def now(self) -> datetime:
        """The primary's clock, in UTC; later than every erasure and removal that was answered."""
        ...


class ProfilePreview(Protocol):
    """Tells what a write would change. Writes nothing: no row, no WAL, no sequence value."""

    async def preview(self, batch: Batch) -> Preview:
        """What ProfileWriter.write would do with the batch, against one snapshot of the primary.

        Raises as `write` does: TransientError, InvalidError (PostgreSQL refuses a value) or FatalError.
        """
        ...

    async def now(self) -> datetime:
        """The primary's clock, in UTC."""
        ...


class PointExpiry(Protocol):
    """Deletes points that are older than they are kept."""

    async def expire(self, before: datetime) -> int:
        """Delete points whose reference date is before this one, and return how many.

        No change of a point that old is published from now on, for good: a later call with an earlier date leaves that
        as it is. It works in transactions of some entities, each of which waits while replication slots hold much WAL;
        after an interruption another call goes on. Caches are told after each commit. Raises TransientError (a slot
        that does not move, too) or FatalError.
        """
        ...


class PlaceholderMerger(Protocol):
    """Merges placeholders of type `unknown` into the one typed entity of their reference."""

    async def merge(self) -> int | None:
        """Merge a bounded number, in one transaction, and return it; None while another process does.

        A placeholder whose reference several types bear, or none, stays. Idempotent: nothing to do writes nothing.
        Caches are told after the commit. Raises TransientError or FatalError.
        """
        ...

    def waiting(self) -> int:
        """How many can be merged and are not, of at most 200, as this process last saw it."""
        ...

    def still_s(self) -> float:
        """For how many seconds the one of them that waits for longest could be merged and no edge of it was moved.

        As far as this process knows; 0 where none waits, NaN where it has not looked for a minute.
        """
        ...
