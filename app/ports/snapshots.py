"""One reading of the whole graph."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from app.core.snapshot import EdgeNow, EntityNow, PointNow


class GraphReading(Protocol):
    """All of it at one moment, in any order; each may be read once."""

    @property
    def position(self) -> int: ...

    @property
    def at(self) -> datetime:
        """The primary's clock."""
        ...

    def entities(self) -> AsyncIterator[EntityNow]: ...

    def edges(self) -> AsyncIterator[EdgeNow]: ...

    def points(self) -> AsyncIterator[PointNow]: ...


class GraphSnapshots(Protocol):
    """Opens readings on the primary."""

    def open(self, *, since: datetime | None) -> AbstractAsyncContextManager[GraphReading]:
        """A reading that sees every transaction that had begun before this call.

        `since` None: everything counts as recent. Raises TransientError or FatalError.
        """
        ...
