"""The level in this process: fragments and look-ups, least recently used, bounded by bytes.

Freshness (design, rule 6): what was read before a notification of its key, or before the notification channel was
lost or came back, is not stored; while the channel is away the level is empty and bypassed. An entry lives for a
minute at most since it was read, whatever happens; what was asked for lately is handed out near its end, for
storage.cache.refresh_ahead to read it anew, and when a notification has taken it away, for storage.read.repopulate.
"""

from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Generic, NamedTuple, TypeVar

from cachebox import LRUCache

from app.core.clock import Clock
from storage.cache.fragments import Fragment
from storage.cache.id_lists import IdList

V = TypeVar("V")
Key = int | bytes  # an entity's id, or the name of another cache key

LIFETIME_S: Final = 60.0
AGING_S: Final = 10.0  # the end of a life
ASKED_S: Final = 300.0  # how long something is worth a renewal, which takes a twentieth of what a miss does
_REMEMBERED: Final = 200_000  # notified keys; a read that began before the oldest of them is not stored
MAX_DROPPED: Final = 1_000
_OVERHEAD_BYTES: Final = 200
_FOREVER: Final = float("inf")
_STAMPS: Final = 1 << 16  # half a megabyte, which stays in the processor's cache; places have 16 bits


class Ticket(NamedTuple):
    """When a read began: after which notification, in which life of the channel."""

    number: int
    life: int


class _Slot(Generic[V]):
    __slots__ = ("asked_at", "expires_at", "position", "size", "value")

    def __init__(self, value: V, size: int, position: int, now: float) -> None:
        self.value = value
        self.size = size
        self.position = position
        self.expires_at = now + LIFETIME_S
        self.asked_at = now


class MemoryCache(Generic[V]):
    """Off until `restore`, since nobody would tell it of changes."""

    def __init__(self, clock: Clock, *, max_bytes: int) -> None:
        self._clock = clock
        self._slots: LRUCache[Key, _Slot[V]] = LRUCache(max_bytes, getsizeof=lambda _, slot: slot.size)
        self._max_entry = max_bytes // 8
        self._number = 0
        self._life = 0
        # In order of their numbers. A plain dict would walk over all that left at its front to find its first key.
        self._notified: OrderedDict[Key, int] = OrderedDict()
        self._forgotten = 0
        self.change = 0  # goes up whenever something may have come or gone
        # By the last bits of entities' ids, how often one of them was notified or stored.
        self._stamps = array("Q", bytes(8 * _STAMPS))
        self._put_bytes = 0  # of all that ever came
        self._ends: OrderedDict[int, list[Key]] = (
            OrderedDict()
        )  # by the second in which they expire, the next one first
        # What a notification took away, and when it was last asked for.
        self._dropped: OrderedDict[Key, float] = OrderedDict()
        self.when_dropped: Callable[[], None] | None = None
        self.is_on = False

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def size_bytes(self) -> int:
        return int(self._slots.current_size())

    @property
    def gone_bytes(self) -> int:
        """Of all that came and is no longer here; who holds on to it takes as much beside."""
        return self._put_bytes - self.size_bytes

    def get(self, key: Key) -> V | None:
        """What is known of this key."""
        slot: _Slot[V] | None = self._slots.get(key)
        if slot is None:
            return None
        now = self._clock.monotonic()
        if slot.expires_at < now:
            self._slots.pop(key, None)
            return None
        slot.asked_at = now
        value: V = slot.value
        return value

    def held_until(self, items: Sequence[tuple[Key, V]]) -> float:
        """Until when, in the clock's seconds, each of these is what is known under its key; 0 where one is not."""
        recall = self._slots.get
        now, until = self._clock.monotonic(), _FOREVER
        for key, value in items:
            slot: _Slot[V] | None = recall(key)
            if slot is None or slot.value is not value:
                return 0.0
            slot.asked_at = now
            if slot.expires_at < until:  # noqa: PLR1730 - `min` takes as long as all else here
                until = slot.expires_at
        return until if until >= now else 0.0

    @staticmethod
    def places(ids: Iterable[int]) -> "array[int]":
        """Where the stamps of these entities are."""
        return array("H", [entity_id % _STAMPS for entity_id in ids])

    def stamp(self, places: "array[int]") -> int:
        """A number that goes up when one of the entities of these places is notified or stored, or the channel lost.

        It may go up for the sake of others, too, and says nothing of age. To compare it takes a tenth of the time that
        it takes to look for each of them.
        """
        stamps = self._stamps
        return self._life + sum([stamps[place] for place in places])

    def _note_change(self, key: Key) -> None:
        if isinstance(key, int):
            self._stamps[key % _STAMPS] += 1

    def holds(self, items: Sequence[tuple[Key, V]]) -> bool:
        """Whether each of these is what is known under its key; without a trace in what was used last."""
        look = self._slots.peek
        for key, value in items:
            slot: _Slot[V] | None = look(key)
            if slot is None or slot.value is not value:
                return False
        return True

    def keys(self) -> list[Key]:
        """All that is held, in no order."""
        return list(self._slots.keys())

    def peek(self, key: Key) -> V | None:
        """As `get`, without a trace in what was used last."""
        slot: _Slot[V] | None = self._slots.peek(key)
        return None if slot is None or slot.expires_at < self._clock.monotonic() else slot.value

    def ticket(self) -> Ticket:
        """To be taken before the read whose result is `put`."""
        return Ticket(self._number, self._life)

    def is_current(self, key: Key, ticket: Ticket) -> bool:
        """Whether nothing was heard of the key since, with an open ear."""
        return (
            self.is_on
            and ticket.life == self._life
            and ticket.number >= self._forgotten
            and self._notified.get(key, 0) <= ticket.number
        )

    def was_notified(self, key: Key) -> bool:
        """Whether the key changed lately, as far as is remembered."""
        return key in self._notified

    def put(self, key: Key, value: V, size: int, ticket: Ticket, *, position: int = 0) -> None:
        """Store what a read that began at `ticket` found, which has reached `position`, unless it was overtaken.

        By a notification, or by another read that has reached more and is still held.
        """
        size += _OVERHEAD_BYTES
        if size > self._max_entry or not self.is_current(key, ticket):
            return
        now = self._clock.monotonic()
        held: _Slot[V] | None = self._slots.peek(key)
        if held is not None and held.position > position and held.expires_at >= now:
            return
        self.change += 1
        self._put_bytes += size
        self._note_change(key)
        self._slots[key] = slot = _Slot(value, size, position, now)
        self._note_end(key, slot)

    def renew(self, key: Key, value: V) -> bool:
        """Let a value live for another minute whose equal was read after it was seen here.

        False where it is no longer what is held, as it is not after a notification or a loss.
        """
        slot: _Slot[V] | None = self._slots.peek(key)
        if slot is None or slot.value is not value:
            return False
        slot.expires_at = self._clock.monotonic() + LIFETIME_S
        self._note_end(key, slot)
        return True

    def _note_end(self, key: Key, slot: _Slot[V]) -> None:
        self._ends.setdefault(int(slot.expires_at), []).append(key)

    def take_aging(self) -> list[Key]:
        """What is about to expire and was asked for lately; each once in a life."""
        now = self._clock.monotonic()
        aging: dict[Key, None] = {}
        while self._ends:
            second, keys = self._ends.popitem(last=False)
            if second > now + AGING_S:
                self._ends[second] = keys
                self._ends.move_to_end(second, last=False)
                break
            for key in keys:
                slot: _Slot[V] | None = self._slots.peek(key)
                if slot is not None and int(slot.expires_at) == second and slot.asked_at >= now - ASKED_S:
                    aging[key] = None
        return list(aging)

    def take_dropped(self) -> dict[Key, float]:
        """What notifications took away since the last call and was asked for lately, and when, oldest drop first."""
        dropped, self._dropped = self._dropped, OrderedDict()
        since = self._clock.monotonic() - ASKED_S
        return {key: asked_at for key, asked_at in dropped.items() if asked_at >= since}

    def note_asked(self, asked: Mapping[Key, float]) -> None:
        """Have these be asked for when they were, and not when somebody else read them anew."""
        for key, asked_at in asked.items():
            slot: _Slot[V] | None = self._slots.peek(key)
            if slot is not None:
                slot.asked_at = asked_at

    def invalidate(self, keys: Iterable[Key], *, again_soon: bool = False) -> None:
        """Drop these, and keep reads under way from storing them.

        `again_soon`: the same is about to be said once more, and nothing is to be read anew before.
        """
        if not self.is_on:
            return  # nothing is here, and `restore` keeps out what is under way
        self._number += 1
        self.change += 1
        for key in keys:
            self._note_change(key)
            slot: _Slot[V] | None = self._slots.pop(key, None)
            if slot is not None and self.when_dropped is not None:
                self._dropped[key] = slot.asked_at
            self._notified[key] = self._number
            self._notified.move_to_end(key)
        while len(self._notified) > _REMEMBERED:
            _, self._forgotten = self._notified.popitem(last=False)
        while len(self._dropped) > MAX_DROPPED:
            self._dropped.popitem(last=False)
        if self._dropped and self.when_dropped is not None and not again_soon:
            self.when_dropped()

    def forget(self) -> None:
        """Drop everything: a notification was missed, and nobody knows of what."""
        self._life += 1
        self.change += 1
        self._slots.clear()
        self._notified.clear()
        self._ends.clear()
        self._dropped.clear()

    def lose(self) -> None:
        """The channel is gone: empty, and bypassed until `restore`."""
        self.forget()
        self.is_on = False

    def restore(self) -> None:
        """The channel is there."""
        self.forget()
        self.is_on = True


Memory = MemoryCache[Fragment | IdList]
