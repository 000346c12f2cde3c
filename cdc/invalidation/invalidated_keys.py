"""What caches hold of a changed row: ids, business keys and look-ups, old and new. Pure.

Design, section 5: what a commit makes old (rules 3 and 7).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from app.core.models import EntityKey, Lookup
from cdc.envelope import Change, EdgeChange, EntityChange, EntityRow
from cdc.events.events import is_rename
from cdc.events.fields import is_removed, object_of

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
            if change.operation != "u" or is_rename(change):
                self.keys.update(EntityKey(row.type, row.reference) for row in rows)
            self.lookups |= _changed_lookups(change, lookups_of)
        elif isinstance(change, EdgeChange):
            self.entities.update(edge.left_entity_id for edge in (change.before, change.after) if edge)
        else:
            self.entities.update(point.entity_id for point in (change.before, change.after) if point)


def _changed_lookups(change: EntityChange, lookups_of: LookupsOf) -> set[Lookup]:
    old = _properties(change.before)
    new = _properties(change.after)
    changed: set[Lookup] = set()
    for name in old.keys() | new.keys():
        was, now = old.get(name), new.get(name)
        if was != now:
            changed |= _lookups(name, was, lookups_of) ^ _lookups(name, now, lookups_of)
    return changed


def _properties(row: EntityRow | None) -> dict[str, str]:
    """The JSON text of each field's value, which is stored beside its date."""
    if row is None:
        return {}
    return {
        name: bytes(_told(raw)).decode()
        for name, raw in object_of(row.properties, "properties").items()
        if not is_removed(raw)
    }


def _told(stored: msgspec.Raw) -> msgspec.Raw:
    try:
        return _stored.decode(stored).value
    except msgspec.MsgspecError:
        return stored  # not written by this service: all of it is the value


def _lookups(name: str, value: str | None, lookups_of: LookupsOf) -> set[Lookup]:
    return set() if value is None else set(lookups_of(name, value))
