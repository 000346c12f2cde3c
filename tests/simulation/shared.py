"""Redis and the channel in memory: slow, in three nodes that may be away, with keys that may go."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import NamedTuple, Protocol, Self, cast

from app.core.errors import TransientError
from storage.cache.keyspace import CacheKey
from storage.cache.shared import Found
from tests.unit.storage.fakes import MemoryLevel

NODES = 3


class SlowLevel:
    """Implements storage.cache.shared.CacheLevel: each call takes a while before and after it is done."""

    def __init__(self, random: Random) -> None:
        self.level = MemoryLevel()
        self.away: set[int] = set()
        self.marks_are_slow = False
        self._random = random

    def is_away(self, key: CacheKey) -> bool:
        return key.group % NODES in self.away

    async def _later(self) -> None:
        await asyncio.sleep(self._random.expovariate(1_500))

    def restart(self, node: int) -> None:
        """A node comes back empty."""
        for name in [name for name in self.level.slots if _group_of(name) % NODES == node]:
            del self.level.slots[name]
        for group in [group for group in self.level.marks if group % NODES == node]:
            del self.level.marks[group]

    def evict(self) -> None:
        if self.level.slots:
            del self.level.slots[self._random.choice(sorted(self.level.slots))]

    async def get(self, keys: Sequence[CacheKey]) -> list[bytes | None]:
        await self._later()
        found = await self.level.get(keys)
        away = [self.is_away(key) for key in keys]
        await self._later()
        return [None if gone else entry for gone, entry in zip(away, found, strict=True)]

    async def lease(self, keys: Sequence[CacheKey]) -> list[Found]:
        await self._later()
        here = [key for key in keys if not self.is_away(key)]
        found = dict(zip(here, await self.level.lease(here), strict=True))
        await self._later()
        return [found.get(key, Found()) for key in keys]

    async def set_marks(self, leases: Mapping[int, bytes], position: int) -> None:
        await self._later()
        if self.marks_are_slow:
            await asyncio.sleep(self._random.expovariate(25))
        await self.level.set_marks(
            {g: lease for g, lease in leases.items() if g % NODES not in self.away}, position
        )
        await self._later()

    async def fill(self, entries: Sequence[tuple[CacheKey, bytes, bytes]]) -> bool:
        await self._later()
        here = [entry for entry in entries if not self.is_away(entry[0])]
        stored = await self.level.fill(here)
        await self._later()
        return stored and len(here) == len(entries)

    async def invalidate(self, keys: Sequence[CacheKey], position: int) -> list[CacheKey]:
        await self._later()
        missed = [key for key in keys if self.is_away(key)]
        await self.level.invalidate([key for key in keys if key not in missed], position)
        await self._later()
        return missed

    async def drop_all(self) -> bool:
        await self._later()
        if self.away:
            return False
        self.level.restart()
        return True


def _group_of(name: bytes) -> int:
    return int(name.partition(b"{g")[2].partition(b"}")[0])


class Listener(Protocol):
    """A worker as the channel sees it."""

    is_cut: bool

    def hears(self, notified: Mapping[bytes, object]) -> None:
        """It is about to act on a message that tells of these keys."""


class Channel:
    """The shard channels of all nodes: messages arrive late, and in order at each subscription.

    A node that is away takes none, and ends its subscriptions. A worker that is cut gets none, and is not told so.
    """

    def __init__(self, random: Random, level: SlowLevel) -> None:
        self.level = level
        self._random = random
        self._subscriptions: dict[bytes, list[Subscription]] = {}

    async def later(self) -> None:
        await asyncio.sleep(self._random.expovariate(1_500))

    def subscribe(self, channel: bytes, listener: Listener) -> "Subscription":
        if _group_of(channel) % NODES in self.level.away:
            raise TransientError("The node is away.")
        made = Subscription(self, channel, listener)
        self._subscriptions.setdefault(channel, []).append(made)
        return made

    def unsubscribe(self, subscription: "Subscription") -> None:
        self._subscriptions[subscription.channel].remove(subscription)

    def send(self, channel: bytes, message: bytes, notified: Mapping[bytes, object]) -> None:
        of_node = {name: shown for name, shown in notified.items() if _same_node(name, channel)}
        for subscription in self._subscriptions.get(channel, ()):
            subscription.arrives(message, of_node, self._random.expovariate(300))


class Subscription:
    """Stands in for storage.redis.subscription.Subscription."""

    def __init__(self, hub: Channel, channel: bytes, listener: Listener) -> None:
        self.channel = channel
        self._hub = hub
        self._listener = listener
        self._due = 0.0
        self._heard: asyncio.Queue[tuple[bytes, Mapping[bytes, object]]] = asyncio.Queue()

    @classmethod
    async def open(cls, address: "Node", channel: bytes, *, timeout_s: float, security: object) -> Self:
        await address.hub.later()
        return cast("Self", address.hub.subscribe(channel, address.listener))

    def arrives(self, message: bytes, notified: Mapping[bytes, object], after_s: float) -> None:
        if self._listener.is_cut:
            return
        loop = asyncio.get_running_loop()
        self._due = max(self._due + 1e-9, loop.time() + after_s)
        loop.call_at(self._due, self._heard.put_nowait, (message, notified))

    async def message(self) -> bytes:
        message, notified = await self._heard.get()
        self._listener.hears(notified)
        return message

    def close(self) -> None:
        self._hub.unsubscribe(self)


class Node(NamedTuple):
    """An address: of a node, as one worker sees it."""

    hub: Channel
    listener: Listener
    number: int


class Nodes:
    """Stands in for storage.redis.cluster.RedisNodes, for the channel of one worker."""

    security = None
    map_version = 0

    def __init__(
        self, hub: Channel, listener: Listener, notified: Callable[[], Mapping[bytes, object]]
    ) -> None:
        self._hub = hub
        self._nodes = [Node(hub, listener, number) for number in range(NODES)]
        self._notified = notified  # what the messages that are sent now tell of

    async def owners(self, slots: Sequence[int]) -> dict[Node, list[int]]:
        return {node: list(range(node.number, len(slots), NODES)) for node in self._nodes}

    async def run_each(
        self, commands: Sequence[tuple[int, tuple[str, bytes, bytes]]], *, is_urgent: bool
    ) -> list[object]:
        notified = self._notified()
        await self._hub.later()
        replies: list[object] = []
        for _, (_, channel, message) in commands:
            if _group_of(channel) % NODES in self._hub.level.away:
                replies.append(TransientError("The node is away."))
            else:
                self._hub.send(channel, message, notified)
                replies.append(1)
        await self._hub.later()
        return replies


def _same_node(name: bytes, channel: bytes) -> bool:
    return _group_of(name) % NODES == _group_of(channel) % NODES
