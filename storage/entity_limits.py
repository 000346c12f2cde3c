"""How much one entity may hold: judged within the transaction, against what is stored too.

The size comes with the rows that changed and costs nothing more. Properties are counted only where an entity is large
enough to have too many.
"""

from dataclasses import dataclass
from typing import Final

from app.errors import InvalidError
from storage.changes import Effects
from storage.pools import Connection
from storage.queries import query

_LEAST_BYTES_OF_A_PROPERTY: Final = 50  # with its date, in jsonb


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityLimits:
    """The most properties, and the most bytes of all of them as jsonb."""

    properties: int
    property_bytes: int

    async def require(self, connection: Connection, effects: Effects) -> None:
        """Raise InvalidError where an entity that changed holds too much; the transaction is to be rolled back."""
        sizes = [
            (row["bytes"], row["id"])
            for rows in (effects.created, effects.changed)
            for row in rows
            if row["bytes"] is not None
        ]
        if not sizes:
            return
        if max(sizes)[0] > self.property_bytes:
            raise InvalidError(
                f"The properties of an entity would take more than {self.property_bytes} bytes "
                "(PROFILE_MAX_ENTITY_BYTES).",
                code="entity-too-large",
            )
        large = [number for size, number in sizes if size > self.properties * _LEAST_BYTES_OF_A_PROPERTY]
        if large and await connection.fetchval(query("most_properties"), large) > self.properties:
            raise InvalidError(
                f"An entity would have more than {self.properties} properties "
                "(PROFILE_MAX_PROPERTIES_PER_ENTITY).",
                code="too-many-properties",
            )
