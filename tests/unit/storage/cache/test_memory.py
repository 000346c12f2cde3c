"""The level in the process: what was overtaken is not stored, and nothing lives for long."""

from collections import OrderedDict
from collections.abc import Iterator

import pytest

from storage.cache import memory as memory_cache
from storage.cache.memory import LIFETIME_S, MemoryCache
from tests.unit.storage.fakes import ManualClock


class World:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.memory: MemoryCache[str] = MemoryCache(self.clock, max_bytes=10_000)
        self.memory.restore()

    def store(self, key: int, value: str = "x", size: int = 10) -> None:
        self.memory.put(key, value, size, self.memory.ticket())


@pytest.fixture
def world() -> World:
    return World()


def test_what_was_read_is_kept_until_it_is_notified(world: World) -> None:
    world.store(1, "one")
    world.store(2, "two")
    assert (world.memory.get(1), world.memory.get(2), world.memory.get(3)) == ("one", "two", None)
    world.memory.invalidate([1])
    assert (world.memory.get(1), world.memory.get(2)) == (None, "two")
    assert (world.memory.was_notified(1), world.memory.was_notified(2)) == (True, False)


def test_a_read_that_a_notification_overtook_is_not_stored(world: World) -> None:
    ticket = world.memory.ticket()
    world.memory.invalidate([1])
    world.memory.put(1, "old", 10, ticket)
    world.memory.put(2, "two", 10, ticket)
    assert (world.memory.get(1), world.memory.get(2)) == (None, "two")
    assert not world.memory.is_current(1, ticket)
    world.store(1, "new")
    assert world.memory.get(1) == "new"


def test_an_older_read_does_not_replace_a_newer_one(world: World) -> None:
    for position, value in ((20, "new"), (10, "old"), (15, "older")):
        world.memory.put(1, value, 10, world.memory.ticket(), position=position)
    assert world.memory.get(1) == "new"
    world.memory.put(1, "newer", 10, world.memory.ticket(), position=21)
    assert world.memory.get(1) == "newer"
    world.clock.time += LIFETIME_S + 1
    world.memory.put(1, "what there is", 10, world.memory.ticket(), position=5)
    assert world.memory.get(1) == "what there is"


@pytest.mark.parametrize("end", ["lose", "forget"])
def test_a_loss_drops_everything_and_overtakes_every_read(world: World, end: str) -> None:
    world.store(1)
    ticket = world.memory.ticket()
    getattr(world.memory, end)()
    assert (world.memory.get(1), len(world.memory), world.memory.size_bytes) == (None, 0, 0)
    world.memory.put(2, "old", 10, ticket)
    assert world.memory.get(2) is None
    world.memory.restore()
    world.memory.put(2, "old", 10, ticket)
    assert world.memory.get(2) is None


def test_without_the_channel_nothing_is_stored(world: World) -> None:
    fresh: MemoryCache[str] = MemoryCache(world.clock, max_bytes=10_000)
    for memory in (fresh, world.memory):
        memory.lose()
        memory.put(1, "x", 10, memory.ticket())
        assert (memory.is_on, memory.get(1)) == (False, None)


def test_the_return_of_the_channel_overtakes_what_began_without_it(world: World) -> None:
    world.memory.lose()
    ticket = world.memory.ticket()
    world.memory.restore()
    world.memory.put(1, "old", 10, ticket)
    assert world.memory.get(1) is None
    world.store(1)
    assert world.memory.get(1) == "x"


def test_nothing_lives_for_more_than_a_minute(world: World) -> None:
    world.store(1)
    world.clock.time = LIFETIME_S
    assert world.memory.get(1) == "x"
    world.clock.time = LIFETIME_S + 0.1
    assert (world.memory.get(1), len(world.memory)) == (None, 0)
    assert LIFETIME_S <= 60


def test_bytes_are_bounded_and_the_least_recently_used_goes_first(world: World) -> None:
    for key in range(10):
        world.store(key, size=800)
    assert len(world.memory) == 10
    world.memory.get(0)
    world.store(10, size=800)
    assert world.memory.size_bytes <= 10_000
    assert (world.memory.get(0), world.memory.get(1)) == ("x", None)
    world.store(11, size=2_000)
    assert world.memory.get(11) is None, "one entry may not push out many"


def test_a_read_that_began_before_what_is_remembered_is_not_stored(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_cache, "_REMEMBERED", 3)
    ticket = world.memory.ticket()
    world.memory.invalidate([1])
    later = world.memory.ticket()
    for key in (2, 3):
        world.memory.invalidate([key])
    world.memory.put(9, "kept", 10, ticket)
    assert world.memory.get(9) == "kept"
    world.memory.invalidate([4])
    assert not world.memory.was_notified(1)
    world.memory.put(1, "old", 10, ticket)
    assert world.memory.get(1) is None
    world.memory.put(1, "new", 10, later)
    assert world.memory.get(1) == "new"


def test_a_key_notified_again_is_remembered_longer(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_cache, "_REMEMBERED", 2)
    for key in (1, 2, 1, 3):
        world.memory.invalidate([key])
    assert [world.memory.was_notified(key) for key in (1, 2, 3)] == [True, False, True]


def test_two_hundred_thousand_keys_are_remembered_and_each_one_more_costs_one_step(world: World) -> None:
    class Walked(OrderedDict[memory_cache.Key, int]):
        walks = 0

        def __iter__(self) -> Iterator[memory_cache.Key]:
            type(self).walks += 1
            return super().__iter__()

    world.memory._notified = Walked()
    world.memory.invalidate(range(200_000))
    world.memory.invalidate(range(200_000, 205_000))
    assert [world.memory.was_notified(key) for key in (0, 4_999, 5_000, 204_999)] == [
        False,
        False,
        True,
        True,
    ]
    assert Walked.walks == 0
