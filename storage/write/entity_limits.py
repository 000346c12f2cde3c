"""How much one entity may hold: judged within the transaction, against what is stored too.

The size comes with the rows that changed and costs nothing more. Properties are counted, and written out as in a
change, only where an entity is large enough to have too many or to become too large.
"""

from dataclasses import dataclass
from typing import Final

from app.core.errors import InvalidError
from storage.postgres.pools import Connection
from storage.postgres.queries import query
from storage.write.changes import Effects

_LEAST_BYTES_OF_A_PROPERTY: Final = 50  # with its date, in jsonb
_MOST_WRITTEN_FOR_A_BYTE: Final = 100  # 1e999 is 16 bytes in jsonb and 1,002 in its text; U+0001 is 1 and 7


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityLimits:
    """The most properties, and the most bytes of all of them: as jsonb, and as the JSON string that holds their text in
    a change (Debezium's record has it twice, before and after, and must fit into a request to Kafka).
    """

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
            raise self._too_large("")
        long = [number for size, number in sizes if size * _MOST_WRITTEN_FOR_A_BYTE > self.property_bytes]
        if long and await connection.fetchval(query("largest_written"), long) > self.property_bytes:
            raise self._too_large(" as the JSON text of a change")
        large = [number for size, number in sizes if size > self.properties * _LEAST_BYTES_OF_A_PROPERTY]
        if large and await connection.fetchval(query("most_properties"), large) > self.properties:
            raise InvalidError(
                f"An entity would have more than {self.properties} properties "
                "(PROFILE_MAX_PROPERTIES_PER_ENTITY).",
                code="too-many-properties",
            )

    def _too_large(self, how: str) -> InvalidError:
        return InvalidError(
            f"The properties of an entity would take more than {self.property_bytes} bytes{how} "
            "(PROFILE_MAX_ENTITY_BYTES).",
            code="entity-too-large",
        )
