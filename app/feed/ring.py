"""The latest events in memory: one copy for all who read them, each at a place of its own."""

from collections.abc import Iterable, Mapping

from app.core.domain_event import DomainEvent


class EventRing:
    """Bounded by count and bytes; the oldest events leave, and one at least stays.

    Events have sequence numbers from `first` to before `next`. For each partition everything from `starts` on that was
    read is here, and `ends` is where reading goes on.
    """

    def __init__(self, *, max_events: int, max_bytes: int) -> None:
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._events: dict[int, DomainEvent] = {}
        self._bytes = 0
        self.first = 0
        self.next = 0
        self.starts: dict[int, int] = {}
        self.ends: dict[int, int] = {}

    def __getitem__(self, sequence: int) -> DomainEvent:
        return self._events[sequence]

    def begin(self, positions: Mapping[int, int]) -> None:
        """Go on from other positions, without what was here; whoever reads here has fallen behind."""
        self._events.clear()
        self._bytes = 0
        self.next += 1
        self.first = self.next
        self.starts = dict(positions)
        self.ends = dict(positions)

    def extend(self, events: Iterable[DomainEvent], positions: Mapping[int, int]) -> None:
        """Add what was read; `positions` is where reading goes on."""
        for event in events:
            self._events[self.next] = event
            self.next += 1
            self._bytes += len(event.body)
            while len(self._events) > 1 and (
                self._bytes > self._max_bytes or len(self._events) > self._max_events
            ):
                self._evict()
        self.ends.update(positions)
        for partition, position in positions.items():
            self.starts.setdefault(partition, position)

    def covers(self, positions: Mapping[int, int]) -> bool:
        """Whether whoever has read up to these positions finds all that follows here."""
        return bool(self.starts) and all(
            positions.get(partition, 0) >= start for partition, start in self.starts.items()
        )

    def _evict(self) -> None:
        event = self._events.pop(self.first)
        self.first += 1
        self._bytes -= len(event.body)
        self.starts[event.partition] = event.offset + 1
