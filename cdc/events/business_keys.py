"""Which business key an entity bore at each change of a window. Pure.

A change names its entity by an id, and an event by the business key: the one in effect at that change, so that it
does not depend on where windows end. Changes of the entity itself bear it, before and after.
"""

from collections.abc import MutableMapping, Sequence

from app.core.models import EntityKey
from app.core.records import Record
from cdc.envelope import Change, EntityChange


class Names:
    """What one window says of names: `at_first` is what they were before its first change of each entity."""

    def __init__(self) -> None:
        self.at_first: dict[int, EntityKey] = {}

    def look_ahead(self, change: Change) -> None:
        """Take the changes in order: the first one of an entity tells its name from before, or at its beginning."""
        if isinstance(change, EntityChange):
            row = change.before or change.after
            if row is not None and row.id not in self.at_first:
                self.at_first[row.id] = row.key

    @staticmethod
    def follow(change: Change, keys: MutableMapping[int, EntityKey]) -> None:
        """Take the changes in order once more: `keys` are the names after this one. Who is deleted keeps its last."""
        if isinstance(change, EntityChange):
            row = change.after or change.before
            if row is not None:
                keys[row.id] = row.key


class Continuity:
    """Whether windows follow each other without a gap, partition by partition.

    A window that comes again is none: it was read before. After a rebalance others may have read what lies between.
    """

    def __init__(self) -> None:
        self._ends: dict[tuple[str, int], int] = {}

    def goes_on(self, records: Sequence[Record]) -> bool:
        """Take a window's records; whether each partition begins where it ended, or before."""
        unbroken = True
        for record in records:
            place = record.topic, record.partition
            end = self._ends.get(place)
            if end is None or record.offset > end:
                unbroken = False
            self._ends[place] = record.offset + 1
        return unbroken
