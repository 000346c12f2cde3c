"""Which placeholders wait to be merged, as this process last saw them, and for how long none of their edges moved."""

import math
from collections.abc import Iterable, Mapping
from typing import Final

from app.core.clock import Clock

_FORGOTTEN_S: Final = 60.0  # after which "nothing waits" is no longer known


class WaitingMerges:
    """Of one process. Another one that moves edges meanwhile knows better, so alerts take the least over all."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen_at: float | None = None
        # By placeholder, since when it could be merged or an edge of it moved.
        self._since: dict[int, float] = {}

    def __len__(self) -> int:
        return len(self._since)

    def found(self, waiting_s: Mapping[int, float]) -> None:
        """All that can be merged now, by id the seconds since that was possible."""
        now = self._clock.monotonic()
        self._seen_at = now
        self._since = {
            entity_id: max(now - seconds, self._since.get(entity_id, -math.inf))
            for entity_id, seconds in waiting_s.items()
        }

    def moved(self, ids: Iterable[int]) -> None:
        """Edges of these were moved."""
        now = self._clock.monotonic()
        self._since |= dict.fromkeys(ids, now)

    def merged(self, ids: Iterable[int]) -> None:
        """These are gone."""
        for entity_id in ids:
            self._since.pop(entity_id, None)

    @property
    def still_s(self) -> float:
        """Of the one that stands still for longest; 0 where none waits, NaN where nobody has looked for a minute."""
        now = self._clock.monotonic()
        if self._since:
            return max(0.0, now - min(self._since.values()))
        if self._seen_at is None or now - self._seen_at > _FORGOTTEN_S:
            return math.nan
        return 0.0
