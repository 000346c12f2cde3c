"""A look-up is answered by its own list, however its path and value are spelled."""

import json

import pytest

from app.core.clock import SystemClock
from app.core.models import EntityKey
from storage.cache import id_lists
from storage.cache.id_lists import IdList
from storage.cache.lookups import cacheable, lookups_of
from storage.read.budget import Budget
from storage.read.reader import CachedGraphReader
from storage.read.tree_cache import KeptTrees
from tests.unit.storage.fakes import Slot
from tests.unit.storage.read.fake_reads import KEY, KEYSPACE, World

# By entity: the look-ups that its properties answer, each beside one that a careless reader confuses with it.
PROPERTIES = {
    1: {"amount": 10},
    2: {"amount": {"value": 10, "currency": "BRL"}},
    3: {"amount": {"value": {"value": 10}}},
    4: {"amount": {"value": {"value": {"value": "10"}}}},
    5: {"value": 10},
    6: {"value": {"value": 10}},
    7: {"value": {"value": {"x": 10}}},
    8: {"value": {"x": 10}},
    9: {"amount": "10"},
}
ANSWERS = {
    "amount": [1, 9],
    "amount.value": [1, 9],
    "amount.value.value": [2],
    "amount.value.value.value": [3],
    "amount.value.value.value.value": [4],
    "amount.value.currency": [],
    "value": [5],
    "value.value": [5],
    "value.value.value": [6],
    "value.value.value.x": [7],
    "value.x": [8],
    "value.value.x": [8],
}


@pytest.fixture
def world() -> World:
    world = World()
    for server in (world.source.primary, world.source.replica):
        server.properties = {number: dict(each) for number, each in PROPERTIES.items()}
    world.level.mark_all(50)
    return world


@pytest.fixture
def reader(world: World) -> CachedGraphReader:
    kept = KeptTrees(world.memory, world.clock, max_bytes=1 << 20)
    return CachedGraphReader(
        world.fragments,
        world.lists,
        kept,
        KEYSPACE,
        SystemClock(),
        budget=Budget(nodes=100),
        retention_months=None,
    )


async def ids(reader: CachedGraphReader, path: str, value: str = "10") -> list[int]:
    answer = await reader.by_property(path, value, depth=0, since=None, limit=50, after=0)
    return [tree["id"] for tree in json.loads(answer.body or b"")]


def remembered(reader: CachedGraphReader, path: str, value: str = "10") -> list[int] | None:
    answer = reader.recall_by_property(path, value, depth=0, since=None, limit=50, after=0)
    return None if answer is None else [tree["id"] for tree in json.loads(answer.body or b"")]


@pytest.mark.parametrize("order", [1, -1])
async def test_each_path_has_its_own_list(world: World, reader: CachedGraphReader, order: int) -> None:
    for _ in range(2):
        for path, answer in list(ANSWERS.items())[::order]:
            assert (path, await ids(reader, path)) == (path, answer)
    for path, answer in ANSWERS.items():
        assert (path, remembered(reader, path)) == (path, answer)
    world.memory.forget()
    for path, answer in ANSWERS.items():
        assert (path, await ids(reader, path)) == (path, answer), "from Redis"


@pytest.mark.parametrize("entity", PROPERTIES)
async def test_a_list_is_kept_where_a_change_of_its_property_finds_it(
    world: World, reader: CachedGraphReader, entity: int
) -> None:
    for path in ANSWERS:
        await ids(reader, path)
    ((field, value),) = PROPERTIES[entity].items()
    changed = {KEYSPACE.lookup(lookup).name for lookup in lookups_of(field, json.dumps(value))}
    answered = [path for path, found in ANSWERS.items() if entity in found]
    assert answered
    for path in answered:
        name = cacheable(path, "10")
        assert name is not None
        assert KEYSPACE.lookup(name).name in changed
        assert world.level.entry(KEYSPACE.lookup(name)) is not None


@pytest.mark.parametrize(
    ("within", "asked"), [("amount.value", "10"), ("other", "10"), ("amount", "10.0"), ("amount", "1e1")]
)
@pytest.mark.parametrize("where", ["redis", "memory"])
async def test_a_list_of_another_question_answers_nothing(
    world: World, reader: CachedGraphReader, within: str, asked: str, where: str
) -> None:
    """Such as one that a worker of the version before has left under this key."""
    name = cacheable("amount", "10")
    assert name is not None
    key = KEYSPACE.lookup(name)
    entry = IdList(within=within, asked=asked, ids=[5], position=100, upper=100, read_at=0.0)
    if where == "redis":
        world.level.slots[key.name] = Slot(entry=id_lists.encode(entry))
    else:
        world.memory.put(key.local, entry, entry.size_bytes, world.memory.ticket())
    assert remembered(reader, "amount") is None
    assert await ids(reader, "amount") == [1, 9]
    assert remembered(reader, "amount") is None


@pytest.mark.parametrize(("within", "asked"), [("user", "b"), ("device", "a")])
async def test_an_id_of_another_reference_answers_nothing(
    world: World, reader: CachedGraphReader, within: str, asked: str
) -> None:
    world.history[0] = [(0, 4)]
    entry = IdList(within=within, asked=asked, ids=[5], position=100, upper=100, read_at=0.0)
    world.level.slots[KEYSPACE.reference(KEY).name] = Slot(entry=id_lists.encode(entry))
    answer = await reader.by_reference(KEY, depth=0, since=None)
    assert answer is not None
    assert json.loads(answer.body or b"")["id"] == 4


async def test_a_business_key_is_recalled_once_its_entity_and_its_list_are_known(
    world: World, reader: CachedGraphReader
) -> None:
    await world.commit(0, 1)
    key = KEY
    assert reader.recall_by_reference(key, depth=0, since=None) is None
    asked = await reader.by_reference(key, depth=0, since=None)
    assert asked is not None
    found = reader.recall_by_reference(key, depth=0, since=None)
    assert found is not None
    assert (found.body, found.etag, found.cache) == (asked.body, asked.etag, "hit")
    assert (found.upper, found.read_at) == (asked.upper, asked.read_at)
    assert reader.recall_by_reference(EntityKey(key.type, f"{key.reference}-2"), depth=0, since=None) is None


@pytest.mark.parametrize("part", ["entity", "list"])
async def test_a_business_key_is_not_recalled_once_either_has_changed(
    world: World, reader: CachedGraphReader, part: str
) -> None:
    await world.commit(0, 1)
    key = KEY
    await reader.by_reference(key, depth=0, since=None)
    changed = KEYSPACE.fragment(1) if part == "entity" else KEYSPACE.reference(key)
    world.memory.invalidate([changed.local])
    assert reader.recall_by_reference(key, depth=0, since=None) is None
