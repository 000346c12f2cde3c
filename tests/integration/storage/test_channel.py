"""One contract for the channel between workers: shard channels of Redis, and what stands in for them in simulations."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from random import Random
from typing import Any

import pytest

from app.config.settings import Settings
from app.core.clock import SystemClock
from storage.cache import notifications
from storage.cache.keyspace import Keyspace
from storage.cache.notifications import Notifications
from storage.redis.cluster import RedisNodes
from tests.simulation.shared import Channel, Nodes, SlowLevel, Subscription

pytestmark = pytest.mark.integration


class HeldMemory:
    """What a worker's memory was told."""

    def __init__(self) -> None:
        self.is_on = False
        self.told: list[object] = []

    def invalidate(self, keys: list[int | bytes]) -> None:
        self.told += keys

    def forget(self) -> None:
        self.told.append("everything")

    def lose(self) -> None:
        self.is_on = False

    def restore(self) -> None:
        self.is_on = True


class Peer:
    """A worker on the channel."""

    is_cut = False

    def __init__(self, nodes: Callable[["Peer"], Any], keyspace: Keyspace) -> None:
        self.memory = HeldMemory()
        self.channel = Notifications(
            nodes(self),
            keyspace,
            self.memory,
            SystemClock(),
            timeout_s=5,  # type: ignore[arg-type]
        )

    def hears(self, notified: Mapping[bytes, object]) -> None:
        """The stand-in asks for this."""

    async def until(self, told: set[object]) -> None:
        async with asyncio.timeout(20):
            while not told <= set(self.memory.told) or not self.memory.is_on:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


@pytest.fixture
def keyspace(cache_prefix: str) -> Keyspace:
    return Keyspace(f"{cache_prefix}:1.1.1")


@pytest.fixture(params=["memory", "redis"])
async def peers(
    request: pytest.FixtureRequest, keyspace: Keyspace, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Peer, Peer]]:
    """Two that hear each other."""
    clients: list[RedisNodes] = []

    def in_redis(_: Peer) -> RedisNodes:
        clients.append(RedisNodes(settings.redis_nodes, timeout_s=5))
        return clients[-1]

    def in_memory(peer: Peer) -> Nodes:
        return Nodes(hub, peer, dict)

    if request.param == "memory":
        random = Random(1)
        hub = Channel(random, SlowLevel(random))
        monkeypatch.setattr(notifications, "Subscription", Subscription)
    made = [Peer(in_memory if request.param == "memory" else in_redis, keyspace) for _ in range(2)]
    for peer in made:
        peer.channel.start()
    for peer in made:
        await peer.until(set())
    yield made[0], made[1]
    for peer in made:
        await peer.channel.close()
    for client in clients:
        await client.close()


async def test_others_are_told_in_every_group_and_the_sender_hears_nothing_of_itself(
    peers: tuple[Peer, Peer], keyspace: Keyspace
) -> None:
    one, other = peers
    keys = [keyspace.fragment(number) for number in range(300)]
    assert await one.channel.publish(keys) == []
    await other.until(set(range(300)))
    assert one.memory.told == []
    assert len(other.memory.told) == 300, "each once"


async def test_messages_of_one_sender_come_in_order(peers: tuple[Peer, Peer], keyspace: Keyspace) -> None:
    one, other = peers
    group = [keyspace.fragment(number * 128) for number in range(20)]
    for key in group:
        assert await one.channel.publish([key]) == []
    await other.until({key.local for key in group})
    assert other.memory.told == [key.local for key in group]


async def test_everything_empties_the_memory_of_others(peers: tuple[Peer, Peer]) -> None:
    one, other = peers
    assert await one.channel.publish_everything()
    await other.until({"everything"})
    assert one.memory.told == []


async def test_a_message_that_was_lost_is_missed_by_the_next_heartbeat(
    peers: tuple[Peer, Peer], keyspace: Keyspace
) -> None:
    one, other = peers
    assert await one.channel.publish([keyspace.fragment(1)]) == []
    await other.until({1})
    one.channel._sent[next(iter(one.channel._sent))] += 1
    await other.until({"everything"})
