"""What of a tree is asked for: members of its entities, types of relationships, temporal data up to a date."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from app.core.dates import to_text

MEMBERS: Final = ("properties", "created_at", "updated_at", "edges", "temporal_data")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """Members of each entity beside its id, type and reference, and single properties and series by name.

    A member that is named as a whole is given as a whole, whatever is named within it.
    """

    members: frozenset[str] = frozenset()
    properties: frozenset[str] = frozenset()
    series: frozenset[str] = frozenset()

    def shows(self, member: str) -> bool:
        """Whether the entity has this member, as a whole or in part."""
        if member in self.members:
            return True
        return bool({"properties": self.properties, "temporal_data": self.series}.get(member))

    def has_property(self, name: str) -> bool:
        return "properties" in self.members or name in self.properties

    def has_series(self, key: str) -> bool:
        return "temporal_data" in self.members or key in self.series


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """None is everything. `until` bounds the reference dates of temporal data, itself included (UTC)."""

    fields: Fields | None = None
    types: frozenset[str] | None = None
    until: datetime | None = None

    @property
    def follows(self) -> bool:
        """Whether relationships are asked for at all."""
        return self.fields is None or self.fields.shows("edges")

    @property
    def size_bytes(self) -> int:
        """About what it takes in memory."""
        fields = self.fields or Fields()
        names = [*fields.members, *fields.properties, *fields.series, *(self.types or ())]
        return 600 + sum([100 + 4 * len(name) for name in names])

    @property
    def canonical(self) -> str:
        """The same text for the same selection."""
        fields = self.fields
        return repr(
            (
                fields and (sorted(fields.members), sorted(fields.properties), sorted(fields.series)),
                None if self.types is None else sorted(self.types),
                None if self.until is None else to_text(self.until),
            )
        )
