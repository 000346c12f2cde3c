"""What is stored of properties, one by one, as the repair of normal forms reads it."""

from collections.abc import Collection
from typing import Protocol

import msgspec

from app.core.models import Source


class StatedProperty(msgspec.Struct, frozen=True):
    """A property of an entity as it is stored; `value` is JSON text, `reference_date` a text that sorts by time."""

    type: str
    reference: str
    field: str
    value: str
    reference_date: str
    source: Source | None


class StatedPage(msgspec.Struct, frozen=True):
    """Some of the entities' properties; `next_after`: the id to go on from, None after the last."""

    properties: list[StatedProperty]
    next_after: int | None


class StatedProperties(Protocol):
    """Reads stored properties from the primary."""

    async def page(self, after: int, *, about: Collection[tuple[str, str]]) -> StatedPage:
        """Those named in `about`, (type, field), of a bounded number of entities whose ids come after this one.

        Removed properties and values of more than 64 KB are left out. Raises TransientError or FatalError.
        """
        ...
