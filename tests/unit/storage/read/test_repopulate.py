"""What a commit takes from memory is read anew before anybody asks, and never as it was before the commit."""

import asyncio

import pytest

from app.core.errors import FatalError, TransientError
from storage.cache.memory import ASKED_S, MAX_DROPPED
from storage.read.repopulate import Refill
from tests.unit.storage.read.fake_reads import World


@pytest.fixture
async def world() -> World:
    """Entities 1 to 3, read by this process."""
    world = World()
    await world.load(1, 2, 3)
    return world


def refill(world: World) -> Refill:
    made = Refill(world.memory, world.fragments, world.clock)  # type: ignore[arg-type]
    world.memory.when_dropped = lambda: None  # as `run` does
    return made


async def test_what_was_in_memory_is_there_again(world: World) -> None:
    made = refill(world)
    await world.commit(1, 101)
    await world.commit(3, 301)
    await world.commit(7, 701)  # nobody has asked for it
    assert await made.refill() == 2
    assert world.remembered(1, 2, 3, 7) == [101, 200, 301, None]
    assert len(world.source.asked) == 2, "one question for both"
    assert await made.refill() == 0


async def test_much_takes_two_connections_at_most(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    made, running, most = refill(world), 0, 0
    monkeypatch.setattr("storage.read.repopulate._OF_ONE_QUESTION", 1)
    await world.load(*range(1, 10))
    for number in range(1, 10):
        await world.commit(number, number)
    read = world.source.read

    async def counted(*arguments: object, **more: object) -> object:
        nonlocal running, most
        running += 1
        most = max(most, running)
        found = await read(*arguments, **more)  # type: ignore[arg-type]
        running -= 1
        return found

    monkeypatch.setattr(world.source, "read", counted)
    assert await made.refill() == 9
    assert world.remembered(*range(1, 10)) == list(range(1, 10))
    assert most == 2


async def test_a_request_joins_it(world: World) -> None:
    made = refill(world)
    await world.commit(1, 101)
    asked = len(world.source.asked)
    filling = asyncio.create_task(made.refill())
    await asyncio.sleep(0)
    await world.load(1)
    await filling
    assert len(world.source.asked) == asked + 1


async def test_what_is_overtaken_is_not_kept(world: World) -> None:
    made = refill(world)
    await world.commit(1, 101)

    async def overtaken() -> None:
        world.source.after_read = nothing  # type: ignore[method-assign]
        await world.commit(1, 102)

    async def nothing() -> None:
        pass

    world.source.after_read = overtaken  # type: ignore[method-assign]
    await made.refill()
    assert world.remembered(1) == [None]
    # Nothing of it was in memory to be dropped: it is left to who asks.
    assert await made.refill() == 0


async def test_the_loss_of_the_channel_leaves_nothing_to_do(world: World) -> None:
    made = refill(world)
    await world.commit(1, 101)
    world.memory.lose()
    world.memory.restore()
    assert await made.refill() == 0


async def test_what_can_not_be_read_is_left_to_who_asks(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = refill(world)
    await world.commit(1, 101)

    async def away(*_: object, **__: object) -> None:
        raise TransientError("away")

    monkeypatch.setattr(world.source, "read", away)
    assert await made.refill() == 1
    assert world.remembered(1) == [None]


async def test_a_server_that_refuses_does_not_end_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    working = asyncio.create_task(Refill(world.memory, world.fragments, world.clock).run())  # type: ignore[arg-type]
    await asyncio.sleep(0)

    async def refuses(*_: object, **__: object) -> None:
        raise FatalError("The schema does not fit this code.")

    with monkeypatch.context() as patched:
        patched.setattr(world.source, "read", refuses)
        await world.commit(1, 101)
        await asyncio.sleep(0.05)
    assert not working.done()
    working.cancel()


async def test_it_works_when_something_was_dropped_until_it_is_cancelled(world: World) -> None:
    working = asyncio.create_task(Refill(world.memory, world.fragments, world.clock).run())  # type: ignore[arg-type]
    await asyncio.sleep(0)
    for value in (101, 102):
        await world.commit(1, value)
        for _ in range(1_000):
            if world.remembered(1) == [value]:
                break
            await asyncio.sleep(0.001)
        assert world.remembered(1) == [value]
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working


async def test_who_does_not_refill_remembers_nothing_of_it(world: World) -> None:
    await world.commit(1, 101)
    assert world.memory.take_dropped() == {}


async def test_the_oldest_is_given_up_where_too_much_is_dropped(world: World) -> None:
    refill(world)
    entry = world.memory.get(1)
    assert entry is not None
    for key in range(MAX_DROPPED + 10):
        world.memory.put(key, entry, 0, world.memory.ticket())
        world.memory.invalidate([key])
    dropped = list(world.memory.take_dropped())
    assert (len(dropped), dropped[0]) == (MAX_DROPPED, 10)


async def test_what_nobody_asks_for_is_not_read_again_and_again(world: World) -> None:
    made = refill(world)
    world.memory.get(1)
    for value in range(101, 108):
        world.clock.time += ASKED_S / 6
        await world.commit(1, value)
        before = len(world.source.asked)
        refilled = await made.refill()
        assert refilled == len(world.source.asked) - before
    assert refilled == 0, "a refill is not an ask"
    assert world.remembered(1) == [None]
