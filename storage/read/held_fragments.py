"""The fragments that something kept was made of, and whether this process's memory still holds each of them."""

from typing import Final

from storage.cache.fragments import Fragment
from storage.cache.memory import Memory, MemoryCache

_LOOK_AGAIN_S: Final = 10.0


class HeldFragments:
    """Fragments by id, in an order of the owner's.

    A comparison of counts answers `hold` nearly always. Every ten seconds, and after a notification that may be of one
    of them, each is looked up: memory learns so that they are still asked for.
    """

    __slots__ = ("_check_at", "_seen_change", "_stamp", "items", "places")

    def __init__(self, items: tuple[tuple[int, Fragment], ...]) -> None:
        self.items = items
        self.places = MemoryCache.places([entity_id for entity_id, _ in items])
        self._stamp = -1  # of the memory at these places, when all fragments were last found there
        self._seen_change = -1  # of the memory, when that was last so
        self._check_at = 0.0  # when to look again, in the clock's seconds, also where nothing changed

    def hold(self, memory: Memory, now: float) -> bool:
        """Whether each is what memory has under its id, and young enough."""
        change = memory.change
        if self._seen_change == change and now <= self._check_at:
            return True
        if now > self._check_at or memory.stamp(self.places) != self._stamp:
            until = memory.held_until(self.items)
            if not until:
                return False
            self._check_at = min(until, now + _LOOK_AGAIN_S)
            self._stamp = memory.stamp(self.places)
        self._seen_change = change
        return True
