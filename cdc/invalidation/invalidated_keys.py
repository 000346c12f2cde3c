"""What caches hold of a changed row: ids, business keys and look-ups, old and new. Pure.

Design, section 5: what a commit makes old (rules 3 and 7).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from app.core.models import EntityKey, Lookup
from cdc.envelope import Change, EdgeChange, EntityChange, hides
from cdc.events.events import is_rename
from cdc.events.fields import changed_members

LookupsOf = Callable[[str, str], Iterable[Lookup]]
"""(field, JSON text of its value, without the date) → the look-ups that it answers. Pure."""


class _Stored(msgspec.Struct):
    value: msgspec.Raw


_stored: Final = msgspec.json.Decoder(_Stored)


@dataclass(slots=True, kw_only=True)
class Affected:
    """The union over a batch of changes."""

    entities: set[int] = field(default_factory=set)
    keys: set[EntityKey] = field(default_factory=set)
    lookups: set[Lookup] = field(default_factory=set)
    xids: set[int] = field(default_factory=set)  # transactions that may not be visible yet

    def add(self, change: Change, lookups_of: LookupsOf) -> None:
        """Add one change. Raises InvalidError where jsonb text can't be read; the ids are added all the same.

        An edge is held by the fragment of its left entity. A business key is affected where it came, went or
        changed; a look-up where a property's leaf came or went.
        """
        if change.operation != "r":  # a snapshot read only what was visible
            self.xids.add(change.source.tx_id)
        if isinstance(change, EntityChange):
            rows = [row for row in (change.before, change.after) if row is not None]
            self.entities.update(row.id for row in rows)
            if change.operation != "u" or is_rename(change) or hides(change):
                self.keys.update(row.key for row in rows)
            self.lookups |= _changed_lookups(change, lookups_of)
        elif isinstance(change, EdgeChange):
            self.entities.update(edge.left_entity_id for edge in (change.before, change.after) if edge)
        else:
            self.entities.update(point.entity_id for point in (change.before, change.after) if point)


def _changed_lookups(change: EntityChange, lookups_of: LookupsOf) -> set[Lookup]:
    changed: set[Lookup] = set()
    for name, was, now in changed_members(change.before, change.after):
        old, new = _value(was), _value(now)
        if old != new:  # else the date alone is another one
            changed |= _lookups(name, old, lookups_of) ^ _lookups(name, new, lookups_of)
    return changed


def _value(stored: msgspec.Raw | None) -> msgspec.Raw | None:
    """A property's value, which is stored beside its date."""
    if stored is None:
        return None
    try:
        return _stored.decode(stored).value
    except msgspec.MsgspecError:
        return stored  # not written by this service: all of it is the value


def _lookups(name: str, value: msgspec.Raw | None, lookups_of: LookupsOf) -> set[Lookup]:
    return set() if value is None else set(lookups_of(name, bytes(value).decode()))
