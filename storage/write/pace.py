"""The pace of long work that is done in pieces.

What a piece changes goes through the replication slot, the connector and the agents of domain events, as everybody's
changes do. So that others wait there behind one or two pieces and not behind the whole work, there are so many rows a
second, fewer while domain events are behind, and none while the slot fills up.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from storage.postgres.pools import Connection
from storage.postgres.queries import query

WAIT_S: Final = (
    30.0  # for domain events that are behind: where nobody publishes them, the work goes on slowly
)


@dataclass(slots=True, kw_only=True)
class PieceLimits:
    """`rows` at most in a piece, `rows_per_s` over all; `slot` is the one whose WAL has to stay far from its limit.

    `others`, where it is set, returns when domain events have nearly caught up.
    """

    rows: int
    rows_per_s: float
    slot: str
    others: Callable[[], Awaitable[None]] | None = None

    @property
    def pause_s(self) -> float:
        """Between two pieces."""
        return self.rows / self.rows_per_s

    async def has_room(self, connection: Connection) -> bool:
        """Whether the slot keeps less than half of the WAL that it may keep."""
        room: bool = await connection.fetchval(query("slot_has_room"), self.slot)
        return room

    async def after_others(self) -> None:
        """Let others' domain events go first."""
        if self.others is not None:
            await self.others()


class Pace:
    """Of one process: what was spent is waited for before the next piece."""

    def __init__(self, pieces: PieceLimits) -> None:
        self._pieces = pieces
        self._due: float | None = None

    async def turn(self) -> None:
        """Wait until the next piece may begin; the first one waits for nobody."""
        if self._due is not None:
            await asyncio.sleep(max(0.0, self._due - asyncio.get_running_loop().time()))
            await self._pieces.after_others()
            self._due = None

    def spent(self, rows: int) -> None:
        """A piece has changed so many rows."""
        self._due = asyncio.get_running_loop().time() + rows / self._pieces.rows_per_s
