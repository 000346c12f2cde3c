"""What is used stays in memory past its minute, and only as it is in Redis."""

import pytest

from storage.cache.fragments import Fragment
from storage.cache.id_lists import IdList
from storage.cache.memory import AGING_S, ASKED_S, LIFETIME_S
from storage.cache.refresh_ahead import Renewal
from tests.unit.storage.read.fake_reads import KEY, KEYSPACE, World


@pytest.fixture
async def world() -> World:
    """Entities 1 to 3 and a look-up, read by this process a while ago."""
    world = World()
    await world.load(1, 2, 3)
    await world.load_list()
    world.clock.time += LIFETIME_S - AGING_S + 1
    return world


def renewal(world: World) -> Renewal:
    return Renewal(world.memory, world.fragments._shared, KEYSPACE)


def held(world: World, key: int) -> Fragment | IdList | None:
    return world.memory.peek(key)


async def test_what_was_asked_for_lately_lives_on(world: World) -> None:
    list_key = KEYSPACE.reference(KEY).local
    before = [world.memory.peek(key) for key in (1, list_key)]
    for _ in range(int(ASKED_S / (LIFETIME_S - AGING_S)) - 1):
        await renewal(world).renew()
        world.clock.time += LIFETIME_S - AGING_S
        assert [world.memory.peek(key) for key in (1, list_key)] == before
    assert held(world, 1) is before[0], "a tree that was made of it holds on"
    assert len(world.source.asked) == 2, "PostgreSQL is not asked"


async def test_what_nobody_asked_for_in_minutes_ends(world: World) -> None:
    for _ in range(int(ASKED_S / (LIFETIME_S - AGING_S)) + 1):
        world.memory.get(1)
        await renewal(world).renew()
        world.clock.time += LIFETIME_S - AGING_S
    world.clock.time += AGING_S
    assert world.remembered(1, 2) == [100, None]


async def test_what_was_put_anew_is_read_near_its_own_end(world: World) -> None:
    await world.commit(1, 101)
    await world.load(1)
    aging = world.memory.take_aging()
    assert 1 not in aging
    assert {2, 3} <= set(aging)
    world.clock.time += LIFETIME_S - AGING_S
    assert 1 in world.memory.take_aging()


async def test_what_redis_has_otherwise_is_taken(world: World) -> None:
    world.memory.get(1)
    old = held(world, 1)
    # Another worker changed it and filled Redis; its notification is lost, or late.
    await world.commit_elsewhere(1, 101)
    other = World()
    other.history, other.level, other.source = world.history, world.level, world.source
    other.fragments._shared = world.fragments._shared
    other.fragments._source = world.source  # type: ignore[assignment]
    await other.load(1)
    await renewal(world).renew()
    assert (world.remembered(1), held(world, 1) is old) == ([101], False)


@pytest.mark.parametrize("when", ["before", "meanwhile"])
async def test_what_memory_has_newer_than_redis_stays(
    world: World, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read with a token found more than Redis has, whose notification is under way."""
    token = world.write(1, 101).position
    if when == "before":
        await world.load(1, token=token)
        world.clock.time += LIFETIME_S - AGING_S + 1
        world.memory.get(1)
        await renewal(world).renew()
    else:
        world.memory.get(1)
        get = world.level.get

        async def meanwhile(keys: object) -> list[bytes | None]:
            found = await get(keys)  # type: ignore[arg-type]
            monkeypatch.setattr(world.level, "get", get)
            await world.load(1, token=token)
            return found

        monkeypatch.setattr(world.level, "get", meanwhile)
        await renewal(world).renew()
    assert (world.of(1), world.remembered(1)) == ([100], [101])


async def test_of_a_look_up_memory_keeps_the_newer_one_too(world: World) -> None:
    token = world.write(0, 7).position
    entry, _ = await world.load_list(token)
    assert entry.ids == [7]
    world.clock.time += LIFETIME_S - AGING_S + 1
    world.memory.get(KEYSPACE.reference(KEY).local)
    await renewal(world).renew()
    held = world.memory.peek(KEYSPACE.reference(KEY).local)
    assert isinstance(held, IdList)
    assert held.ids == [7]


async def test_what_redis_has_not_is_left_to_its_age(world: World) -> None:
    world.memory.get(1)
    await world.level.drop_all()
    await renewal(world).renew()
    assert world.remembered(1) == [100]
    world.clock.time += AGING_S
    assert world.remembered(1) == [None]


@pytest.mark.parametrize("overtaken_by", ["a notification", "the loss of the channel"])
async def test_what_is_overtaken_is_not_kept(
    world: World, overtaken_by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.memory.get(1)
    get = world.level.get

    async def overtaken(keys: object) -> list[bytes | None]:
        found = await get(keys)  # type: ignore[arg-type]
        if overtaken_by == "a notification":
            world.memory.invalidate([1])
        else:
            world.memory.lose()
            world.memory.restore()
        return found

    monkeypatch.setattr(world.level, "get", overtaken)
    await renewal(world).renew()
    assert held(world, 1) is None


async def test_much_is_read_in_parts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.cache.refresh_ahead._AT_ONCE", 2)
    for key in (1, 2, 3):
        world.memory.get(key)
    await renewal(world).renew()
    world.clock.time += AGING_S
    assert world.remembered(1, 2, 3) == [100, 200, 300]
