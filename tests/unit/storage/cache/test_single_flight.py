"""Who joins whom, and who does not."""

import asyncio

import pytest

from storage.cache.memory import MemoryCache, Ticket
from storage.cache.single_flight import Flights
from tests.unit.storage.fakes import ManualClock


class World:
    """A fill that lands when the test says so."""

    def __init__(self) -> None:
        self.memory: MemoryCache[object] = MemoryCache(ManualClock(), max_bytes=10_000)
        self.memory.restore()
        self.flights: Flights[str] = Flights(self.memory)
        self.may_land = asyncio.Event()
        self.fails = False

    async def fill(self, ticket: Ticket) -> str:
        assert ticket == self.memory.ticket()
        await self.may_land.wait()
        if self.fails:
            raise ValueError
        return "found"


@pytest.fixture
async def world() -> World:
    return World()


async def test_one_flight_serves_all_who_ask_meanwhile(world: World) -> None:
    flight = world.flights.begin([1, 2], world.fill)
    assert (world.flights.to_join(1), world.flights.to_join(2)) == (flight, flight)
    assert world.flights.to_join(3) is None
    joined = [asyncio.create_task(flight.landed()) for _ in range(3)]
    world.may_land.set()
    assert await asyncio.gather(*joined) == ["found"] * 3
    assert world.flights.to_join(1) is None


async def test_nobody_joins_what_a_notification_has_overtaken(world: World) -> None:
    flight = world.flights.begin([1, 2], world.fill)
    await asyncio.sleep(0)
    world.memory.invalidate([1])
    assert (world.flights.to_join(1), world.flights.to_join(2)) == (None, flight)
    later = world.flights.begin([1], world.fill)
    assert world.flights.to_join(1) is later
    world.may_land.set()
    assert await flight.landed() == await later.landed() == "found"


async def test_the_end_of_an_overtaken_flight_leaves_the_later_one(world: World) -> None:
    flight = world.flights.begin([1], world.fill)
    await asyncio.sleep(0)
    world.memory.invalidate([1])
    may_land, world.may_land = world.may_land, asyncio.Event()
    later = world.flights.begin([1], world.fill)
    await asyncio.sleep(0)
    may_land.set()
    assert await flight.landed() == "found"
    assert world.flights.to_join(1) is later
    world.may_land.set()
    await later.landed()


async def test_nobody_joins_while_the_channel_is_away_nor_across_its_return(world: World) -> None:
    flight = world.flights.begin([1], world.fill)
    await asyncio.sleep(0)
    world.memory.lose()
    assert world.flights.to_join(1) is None
    without = world.flights.begin([1], world.fill)
    assert world.flights.to_join(1) is None
    await asyncio.sleep(0)
    world.memory.restore()
    assert world.flights.to_join(1) is None
    world.may_land.set()
    assert await flight.landed() == await without.landed() == "found"


async def test_the_one_who_began_may_go_and_the_others_get_their_answer(world: World) -> None:
    flight = world.flights.begin([1], world.fill)
    leader = asyncio.create_task(flight.landed())
    joined = world.flights.to_join(1)
    assert joined is not None
    follower = asyncio.create_task(joined.landed())
    await asyncio.sleep(0)
    leader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leader
    world.may_land.set()
    assert await follower == "found"


async def test_a_failure_reaches_all_and_the_next_begins_anew(world: World) -> None:
    world.fails = True
    flight = world.flights.begin([1], world.fill)
    world.may_land.set()
    for _ in range(2):
        with pytest.raises(ValueError):  # noqa: PT011 - it has no message
            await flight.landed()
    assert world.flights.to_join(1) is None
