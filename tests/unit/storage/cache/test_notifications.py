"""What a worker does with what it hears, and with what it does not hear."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Self

import msgspec
import pytest

from app.core.errors import TransientError
from storage.cache import notifications as module
from storage.cache.id_lists import IdList
from storage.cache.keyspace import Keyspace
from storage.cache.memory import Memory, MemoryCache
from storage.cache.notifications import EVERYTHING, SILENCE_S, Message, Notifications
from storage.redis.connection import Command
from storage.redis.node import Address
from storage.redis.security import NONE, RedisSecurity
from tests.unit.storage.fakes import ManualClock

KEYSPACE = Keyspace("up:1.1.1")
ENTRY = IdList("f", "x", [1], 1, 1, 1.0)
NODES = (("127.0.0.1", 7000), ("127.0.0.1", 7001))
OTHER = b"another."
LEADERS = (0, 1)  # the groups whose channels are the nodes'


class FakeNodes:
    """Two nodes; groups alternate between them. What is published reaches the subscriptions, unless `deaf`."""

    security = NONE

    def __init__(self) -> None:
        self.map_version = 1
        self.deaf: set[bytes] = set()
        self.down = False
        self.away: set[int] = set()  # leaders whose node takes nothing
        self.subscriptions: list[FakeSubscription] = []

    async def owners(self, slots: Sequence[int]) -> dict[Address, list[int]]:
        return {node: list(range(number, len(slots), 2)) for number, node in enumerate(NODES)}

    async def run_each(self, commands: Sequence[tuple[int, Command]], *, is_urgent: bool) -> list[object]:
        assert is_urgent
        if self.down:
            return [TransientError("down")] * len(commands)
        replies: list[object] = []
        for slot, (name, channel, message) in commands:
            assert name == "SPUBLISH"
            assert isinstance(channel, bytes)
            assert isinstance(message, bytes)
            (group,) = map(int, re.findall(rb"\{g(\d+)\}", channel))
            assert slot == KEYSPACE.slots[group]
            is_away = group in self.away
            replies.append(TransientError("away") if is_away else 1)
            if not is_away:
                self.deliver(channel, message)
        return replies

    def deliver(self, channel: bytes, message: bytes | None) -> None:
        """A message, or the end of the connection, for who listens to this channel."""
        for subscription in self.subscriptions:
            if subscription.channel == channel and channel not in self.deaf:
                subscription.inbox.put_nowait(message)


class FakeSubscription:
    nodes: FakeNodes

    def __init__(self, channel: bytes) -> None:
        self.channel = channel
        self.inbox: asyncio.Queue[bytes | None] = asyncio.Queue()

    @classmethod
    async def open(
        cls, address: Address, channel: bytes, *, timeout_s: float, security: RedisSecurity
    ) -> Self:
        assert address in NODES
        assert timeout_s > 0
        assert security is NONE
        if cls.nodes.down:
            raise TransientError("down")
        subscription = cls(channel)
        cls.nodes.subscriptions.append(subscription)
        return subscription

    async def message(self) -> bytes:
        message = await self.inbox.get()
        if message is None:
            raise TransientError("lost")
        return message

    def close(self) -> None:
        self.nodes.subscriptions.remove(self)


class World:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.memory: Memory = MemoryCache(self.clock, max_bytes=100_000)
        self.nodes = FakeNodes()
        self.notifications = self.made(self.memory)

    def made(self, memory: Memory) -> Notifications:
        return Notifications(self.nodes, KEYSPACE, memory, self.clock, timeout_s=1)  # type: ignore[arg-type]

    def remember(self, *keys: int) -> None:
        for key in keys:
            self.memory.put(key, ENTRY, 10, self.memory.ticket())

    @property
    def remembered(self) -> set[int]:
        return {key for key in range(10) if self.memory.get(key) is not None}

    async def tell(
        self, number: int, keys: list[int | bytes] | str | None, *, node: int = 0, sender: bytes = OTHER
    ) -> None:
        """A message from another worker, heard when this returns."""
        message = msgspec.msgpack.encode(Message(sender, number, keys))  # type: ignore[arg-type]
        self.nodes.deliver(KEYSPACE.channel(LEADERS[node]), message)
        await heard()


async def heard() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(1_000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("It did not come to that.")


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    for name in ("HEARTBEAT_S", "_WATCH_S", "_RETRY_S"):
        monkeypatch.setattr(module, name, 0.001)
    made = World()
    FakeSubscription.nodes = made.nodes
    monkeypatch.setattr(module, "Subscription", FakeSubscription)
    made.notifications.start()
    await until(lambda: made.memory.is_on)
    made.remember(1, 2, 3)
    yield made
    await made.notifications.close()
    assert not made.nodes.subscriptions
    assert not made.memory.is_on


async def test_what_another_worker_tells_is_dropped(world: World) -> None:
    await world.tell(1, [1])
    assert world.remembered == {2, 3}
    await world.tell(2, [2])
    await world.tell(1, [3], node=1)
    assert world.remembered == set()


async def test_a_gap_in_the_numbers_is_a_loss(world: World) -> None:
    await world.tell(1, [1])
    await world.tell(3, [2])
    assert (world.remembered, world.memory.is_on) == (set(), True)
    world.remember(1, 2)
    await world.tell(4, [1])
    assert world.remembered == {2}


async def test_a_heartbeat_tells_of_a_gap_and_of_none(world: World) -> None:
    await world.tell(7, None)
    await world.tell(7, None)
    await world.tell(8, [1])
    await world.tell(8, None)
    assert world.remembered == {2, 3}
    await world.tell(9, None)
    assert world.remembered == set()


async def test_numbers_are_counted_for_each_sender_and_channel(world: World) -> None:
    await world.tell(1, [9])
    await world.tell(5, [9], node=1)
    await world.tell(3, [9], sender=b"a third.")
    for number, node, sender in ((2, 0, OTHER), (6, 1, OTHER), (4, 0, b"a third.")):
        await world.tell(number, [9], node=node, sender=sender)
    assert world.remembered == {1, 2, 3}


async def test_everything_may_be_told(world: World) -> None:
    ticket = world.memory.ticket()
    await world.tell(1, EVERYTHING)
    assert world.remembered == set()
    assert not world.memory.is_current(1, ticket)


async def test_own_messages_are_told_to_others_and_not_applied(world: World) -> None:
    other: Memory = MemoryCache(world.clock, max_bytes=100_000)
    listener = world.made(other)
    listener.start()
    await until(lambda: other.is_on)
    for key in (1, 2, 3, 4):
        other.put(key, ENTRY, 10, other.ticket())
    ticket = world.memory.ticket()
    keys = [KEYSPACE.fragment(key) for key in (1, 2)]  # of both nodes
    assert await world.notifications.publish(keys) == []
    await heard()
    assert [other.get(key) is None for key in (1, 2, 3, 4)] == [True, True, False, False]
    assert world.remembered == {1, 2, 3}
    assert world.memory.is_current(1, ticket)
    assert await world.notifications.publish_everything()
    await heard()
    assert len(other) == 0
    assert world.remembered == {1, 2, 3}
    await listener.close()


async def test_a_worker_that_publishes_without_listening_shows_no_gap(world: World) -> None:
    silent = world.made(MemoryCache(world.clock, max_bytes=1_000))
    for key in (4, 5, 6, 7):
        assert await silent.publish([KEYSPACE.fragment(key)]) == []
    await heard()
    assert world.remembered == {1, 2, 3}


async def test_a_message_that_no_node_took_is_reported(world: World) -> None:
    world.nodes.down = True
    keys = [KEYSPACE.fragment(1)]
    assert await world.notifications.publish(keys) == keys
    assert not await world.notifications.publish_everything()


async def test_what_one_node_does_not_take_the_others_tell(world: World) -> None:
    other: Memory = MemoryCache(world.clock, max_bytes=100_000)
    listener = world.made(other)
    listener.start()
    await until(lambda: other.is_on)
    keys = [KEYSPACE.fragment(key) for key in range(1, 9)]
    for key in keys:
        other.put(key.local, ENTRY, 10, other.ticket())
    world.nodes.away = {LEADERS[1]}
    missed = [key for key in keys if key.group % len(NODES) == 1]
    assert await world.notifications.publish(keys) == missed
    await heard()
    assert 0 < len(missed) < len(keys)
    assert [key for key in keys if other.get(key.local) is not None] == missed
    assert not await world.notifications.publish_everything()
    world.nodes.away = set()
    await listener.close()


async def test_a_second_without_ones_own_heartbeat_on_one_channel_is_a_loss(world: World) -> None:
    world.nodes.deaf.add(KEYSPACE.channel(LEADERS[1]))
    await heard()
    world.clock.time += SILENCE_S
    await asyncio.sleep(0.02)
    assert world.memory.is_on
    world.clock.time += 0.01
    await until(lambda: not world.memory.is_on)
    assert world.remembered == set()
    world.remember(1)
    assert world.remembered == set()
    world.nodes.deaf.clear()
    await until(lambda: world.memory.is_on)
    assert SILENCE_S <= 1


async def test_a_worker_that_is_itself_late_waits_longer_and_not_for_ever(world: World) -> None:
    world.nodes.deaf.add(KEYSPACE.channel(LEADERS[1]))
    await heard()

    async def turns_take(seconds: float, count: int) -> None:
        for _ in range(count):
            world.clock.time += seconds
            await asyncio.sleep(0.005)

    await turns_take(0.3, 8)
    assert world.memory.is_on, "a loop whose turns take 0.3 s hears its own heartbeat after some of them"
    await turns_take(0.3, 10)
    assert not world.memory.is_on
    assert world.remembered == set()


@pytest.mark.parametrize("node", [0, 1])
async def test_a_connection_that_ends_is_a_loss(
    world: World, node: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RETRY_S", 0.05)
    world.nodes.deliver(KEYSPACE.channel(LEADERS[node]), None)
    await until(lambda: not world.memory.is_on)
    assert world.remembered == set()
    await until(lambda: world.memory.is_on)


async def test_it_is_on_only_when_every_channel_was_heard(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.nodes.deaf.add(KEYSPACE.channel(LEADERS[1]))
    world.nodes.deliver(KEYSPACE.channel(LEADERS[0]), None)
    await until(lambda: not world.memory.is_on)
    await asyncio.sleep(0.05)
    assert not world.memory.is_on
    world.nodes.deaf.clear()
    await until(lambda: world.memory.is_on)


async def test_slots_that_move_are_a_loss(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_RETRY_S", 0.05)
    world.nodes.map_version += 1
    await until(lambda: not world.memory.is_on)
    assert world.remembered == set()
    await until(lambda: world.memory.is_on)


async def test_a_message_that_is_not_understood_is_a_loss(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RETRY_S", 0.05)
    world.nodes.deliver(KEYSPACE.channel(LEADERS[0]), b"\xc1")
    await until(lambda: not world.memory.is_on)
    assert world.remembered == set()


async def test_without_redis_memory_stays_off_until_it_is_back(world: World) -> None:
    world.nodes.down = True
    await until(lambda: not world.memory.is_on)
    await asyncio.sleep(0.02)
    assert not world.memory.is_on
    world.nodes.down = False
    await until(lambda: world.memory.is_on)


async def test_on_another_timeline_the_channels_are_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyspace = Keyspace("up:1.1.1")
    monkeypatch.setattr(world.notifications, "_keys", keyspace)
    keyspace.move("up:1.2.1")
    world.memory.lose()
    await until(lambda: world.memory.is_on)
    channels = {subscription.channel for subscription in world.nodes.subscriptions}
    assert channels == {keyspace.channel(leader) for leader in LEADERS}
    assert keyspace.channel(0) != KEYSPACE.channel(0)
