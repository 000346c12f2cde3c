"""What one request may make of the graph: a tree says where it is cut, a page ends early, a batch is refused."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from app.core.clock import SystemClock
from app.core.errors import InvalidError
from app.core.selection import Selection
from storage.cache.fragments import Fragment, from_row
from storage.cache.keyspace import CacheKey
from storage.read import answers, fragment_loader
from storage.read.budget import Budget, Cost
from storage.read.reader import CachedGraphReader
from storage.read.rendered_tree import Skeleton
from storage.read.tree import Tree
from storage.read.tree_cache import KeptTrees
from storage.read.walking import apart
from tests.unit.storage.read.fake_reads import KEYSPACE, World
from tests.unit.storage.read.test_tree import fragment, points

FAT = points(*[("k", "day", day, '"' + "x" * 100 + '"') for day in range(1, 11)])
HUB = {1: fragment(1, [2, 3, 4]), **{node: fragment(node, [], **FAT) for node in (2, 3, 4)}}
MESH = {node: fragment(node, [1, 2, 3, 4, 5]) for node in range(1, 6)}


def walked(graph: dict[int, Fragment], budget: Budget) -> tuple[Skeleton, Any]:
    tree = Tree(1, depth=3, budget=budget)
    while not tree.done:
        tree.advance(graph)
    skeleton = Skeleton.of(tree, depth=3)
    return skeleton, json.loads(skeleton.body(0))


def targets(tree: Any) -> list[int]:
    return [edge["entity"]["id"] for edge in tree["edges"]]


@pytest.mark.parametrize("budget", [Budget(nodes=9, points=25), Budget(nodes=9, size_bytes=4_500)])
def test_what_has_no_room_for_its_points_or_bytes_is_left_out_in_plain_sight(budget: Budget) -> None:
    skeleton, tree = walked(HUB, budget)
    assert targets(tree) == [2, 3]
    assert tree["truncated"] == {"edges_total": 3}
    assert budget.holds(skeleton.cost)
    assert not skeleton.is_whole  # nobody would tell that what was left out has become smaller


def test_of_edges_the_first_are_shown() -> None:
    skeleton, tree = walked(MESH, Budget(nodes=9, edges=7))
    assert skeleton.cost.edges == 7
    assert (targets(tree), "truncated" in tree) == ([1, 2, 3, 4, 5], False)
    assert [len(edge["entity"].get("edges", ())) for edge in tree["edges"]] == [0, 2, 0, 0, 0]
    assert tree["edges"][2]["entity"]["truncated"] == {"edges_total": 5}


def test_repeated_entities_weigh_as_well() -> None:
    whole, _ = walked(MESH, Budget(nodes=9))
    budget = Budget(nodes=9, size_bytes=whole.cost.size_bytes - 1)
    skeleton, tree = walked(MESH, budget)
    assert len(json.dumps(tree)) < len(json.dumps(walked(MESH, Budget(nodes=9))[1]))
    assert "truncated" in json.dumps(tree)
    assert not skeleton.is_whole


def test_within_the_budget_nothing_changes() -> None:
    for graph in (HUB, MESH):
        whole, _ = walked(graph, Budget(nodes=9))
        nodes, edges, shown, size = whole.cost
        exact, _ = walked(graph, Budget(nodes=nodes, edges=edges, points=shown, size_bytes=size))
        assert (exact.body(0), exact.etag(0), exact.is_whole) == (whole.body(0), whole.etag(0), True)


def test_the_root_is_shown_whatever_it_weighs() -> None:
    _, tree = walked({1: fragment(1, [2], **FAT), 2: fragment(2, [])}, Budget(nodes=9, points=1))
    assert len(tree["temporal_data"]["k"]) == 10
    assert targets(tree) == []
    assert tree["truncated"] == {"edges_total": 1}


def test_a_renewed_tree_keeps_to_the_budget() -> None:
    whole, _ = walked(HUB, Budget(nodes=9))
    skeleton, _ = walked(HUB, Budget(nodes=9, size_bytes=whole.cost.size_bytes + 10))
    grown = fragment(2, [], **FAT, properties='{"n": {"value": "longer than it was"}}')
    assert skeleton.renewed([HUB[1], grown, HUB[3], HUB[4]]) is None
    same = [HUB[1], fragment(2, [], **FAT, properties='{"n": {"value": 2.0}}'), HUB[3], HUB[4]]
    renewed = skeleton.renewed(same)
    assert renewed is not None
    assert renewed.cost == skeleton.cost


def test_cut_points_are_told_with_their_number() -> None:
    cut = fragment(1, [], **FAT, points_total=1_000)
    _, tree = walked({1: cut}, Budget(nodes=9))
    assert tree["truncated"] == {"points_total": 1_000}
    assert cut.digest != fragment(1, [], **FAT).digest


def test_how_many_fit_together() -> None:
    budget = Budget(nodes=10, size_bytes=100)
    assert budget.fitting([Cost(4, 0, 0, 1)] * 3) == 2
    assert budget.fitting([Cost(1, 0, 0, 60)] * 3) == 1
    assert budget.fitting([Cost(99)]) == 1  # the first has a budget of its own
    assert budget.fitting([]) == 0


def reader_of(world: World, budget: Budget) -> CachedGraphReader:
    kept = KeptTrees(world.memory, world.clock, max_bytes=1 << 20)
    return CachedGraphReader(
        world.fragments, world.lists, kept, KEYSPACE, SystemClock(), budget=budget, retention_months=None
    )


@pytest.fixture
def world() -> World:
    """Entities 1 to 9, of which each has the same property."""
    world = World()
    for server in (world.source.primary, world.source.replica):
        server.properties = {number: {"same": 1} for number in range(1, 10)}
    world.level.mark_all(50)
    return world


@pytest.mark.parametrize("is_warm", [False, True])
async def test_a_page_ends_with_the_budget_and_leads_on(world: World, is_warm: bool) -> None:
    reader = reader_of(world, Budget(nodes=4))
    if is_warm:
        for number in range(1, 10):
            await reader.graph(number, depth=3, since=None)
    after, pages = 0, []
    while True:
        page = await reader.by_property("same", "1", depth=3, since=None, limit=5, after=after)
        pages.append([tree["id"] for tree in json.loads(page.body or b"")])
        if page.next_after is None:
            break
        after = page.next_after
    # The trees of 1, 2 and 3 have three, two and one entity.
    assert pages == [[1], [2, 3, 4], [5, 6, 7, 8], [9]]
    assert reader.recall_by_property("same", "1", depth=3, since=None, limit=5, after=0) is None


@pytest.mark.parametrize("selection", [None, Selection(types=frozenset({"knows"}))])
async def test_a_batch_beyond_the_budget_says_how_many_fit(world: World, selection: Selection | None) -> None:
    reader = reader_of(world, Budget(nodes=4))
    with pytest.raises(InvalidError, match="the first 3 fit") as refused:
        await reader.batch([3, 5, 2**50, 1, 6], depth=3, since=None, selection=selection)
    assert (refused.value.code, refused.value.field) == ("too-much", "entity_ids")
    answer = await reader.batch([3, 5, 2**50], depth=3, since=None, selection=selection)
    assert [item and item["id"] for item in json.loads(answer.body or b"")] == [3, 5, None]


async def test_a_repeated_id_is_read_once_and_answered_each_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, made = reader_of(world, Budget(nodes=4, size_bytes=1 << 20)), []
    body = Skeleton.body
    monkeypatch.setattr(Skeleton, "body", lambda self, row: made.append(self.root) or body(self, row))
    answer = await reader.batch([1] * 50, depth=3, since=None)
    items = json.loads(answer.body or b"")
    assert (len(items), items[0], made) == (50, items[-1], [1])
    assert [read.on_primary for read in world.source.asked] == [False]
    small = reader_of(world, Budget(nodes=4, size_bytes=len(answer.body or b"") // 2))
    with pytest.raises(InvalidError, match=r"the first 2\d fit"):
        await small.batch([1] * 50, depth=3, since=None)


async def test_a_wide_level_is_loaded_in_parts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    wide = list(range(10, 2_510))
    world.history |= {number: [(0, 1)] for number in wide}
    world.edges[1] = [(0, wide)]
    parts: list[int] = []
    whole = world.level.get

    async def get(keys: Sequence[CacheKey]) -> list[bytes | None]:
        parts.append(len(keys))
        return await whole(keys)

    monkeypatch.setattr(world.level, "get", get)
    answer = await reader_of(world, Budget(nodes=10_000)).graph(1, depth=1, since=None)
    assert answer is not None
    assert len(json.loads(answer.body or b"")["edges"]) == 2_500
    assert max(parts) <= 1_000


def fragment_of(entity_id: int) -> Fragment:
    row = World().source.primary._row(entity_id)
    return from_row(row, position=1, upper=1, read_at=0)  # type: ignore[arg-type]


async def test_nothing_more_is_loaded_once_the_budget_is_used_up(world: World) -> None:
    world.edges[1] = [(0, [2, 3, 4, 5, 6, 7])]
    size = len(fragment_of(2).head)
    for number in range(2, 8):
        world.edges[number] = [(0, [8])]
    reader = reader_of(world, Budget(nodes=100, size_bytes=size * 4))
    answer = await reader.graph(1, depth=9, since=None)
    assert answer is not None
    tree = json.loads(answer.body or b"")
    assert (targets(tree), tree["truncated"]) == ([2, 3, 4], {"edges_total": 6})
    assert tree["edges"][0]["entity"]["truncated"] == {"edges_total": 1}


async def test_the_loop_is_free_while_fragments_are_made(world: World) -> None:
    wide = list(range(10, 1_010))
    world.history |= {number: [(0, 1)] for number in wide}
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    await world.load(*wide)
    counting.cancel()
    assert turns >= len(wide) // 100


async def turns_during(work: Awaitable[object]) -> int:
    """How often the event loop came round."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    await work
    counting.cancel()
    return turns


async def test_work_of_a_middle_size_ends_the_turn() -> None:
    async def all_roots(cost: Cost) -> None:
        for _ in range(100):
            assert await apart(cost, threading.get_ident) == threading.get_ident()

    assert await turns_during(all_roots(Cost(nodes=900, edges=3_900))) >= 100
    assert await turns_during(all_roots(Cost(nodes=1))) <= 2
    assert await apart(Cost(edges=10_000), threading.get_ident) != threading.get_ident()


@pytest.mark.parametrize(
    ("row", "in_thread"),
    [
        ({"targets": [1] * 900, "dates": None, "properties": "{}"}, False),
        ({"targets": [1] * 2_000, "dates": None, "properties": "{}"}, True),
        ({"targets": None, "dates": ["x"] * 2_000, "properties": "{}"}, True),
        ({"targets": None, "dates": None, "properties": "x" * 300_000}, True),
    ],
)
async def test_one_wide_entity_is_made_by_a_thread(
    monkeypatch: pytest.MonkeyPatch, *, row: dict[str, Any], in_thread: bool
) -> None:
    threads: list[int] = []

    def from_row(row: dict[str, Any], **_: object) -> Any:
        threads.append(threading.get_ident())
        return SimpleNamespace(id=1, size_bytes=1)

    monkeypatch.setattr(fragment_loader.codec, "from_row", from_row)
    read: Any = SimpleNamespace(result=SimpleNamespace(rows=[row]), position=8, upper=8)
    await fragment_loader._made(read, 0.0)
    assert (threads != [threading.get_ident()]) is in_thread


async def test_all_roots_together_load_a_part_at_a_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A level of many wide trees is not in memory at once, and what has no room is never read."""
    asked: list[int] = []
    load = world.fragments.load

    async def counted(ids: Any, *arguments: Any, **named: Any) -> None:
        asked.append(len(ids))
        await load(ids, *arguments, **named)

    monkeypatch.setattr(world.fragments, "load", counted)
    monkeypatch.setattr("storage.read.walking.LOADED_AT_ONCE", 3)
    reader = reader_of(world, Budget(nodes=100))
    answer = await reader.batch([1, 2, 3, 4, 5, 6, 7, 8, 9], depth=3, since=None)
    assert [item["id"] for item in json.loads(answer.body or b"")] == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert max(asked) <= 3


async def test_a_page_that_is_large_is_joined_by_a_thread() -> None:
    assert await answers.listed([]) == b"[]"
    assert await answers.listed([b"1", b"{}"]) == b"[1,{}]"
    large = [b"x" * 300_000] * 3
    assert await answers.listed(large) == b"[" + b",".join(large) + b"]"


async def test_large_entries_of_redis_are_decoded_in_pieces(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = list(range(1, 10))
    await world.load(*numbers)
    world.memory.forget()
    monkeypatch.setattr(fragment_loader, "PIECE_BYTES", 1)
    few = await turns_during(world.load(*numbers))
    world.memory.forget()
    monkeypatch.setattr(fragment_loader, "PIECE_BYTES", 1 << 20)
    assert few >= await turns_during(world.load(*numbers)) + len(numbers)
