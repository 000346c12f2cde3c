"""Answers to selections are kept while all that they show holds, and are those that the usual way gives."""

from datetime import UTC, datetime

import pytest

from app.core.clock import SystemClock
from app.core.models import Changes
from app.core.selection import Fields, Selection
from app.ports.graph import Answer
from storage.read import selected, selected_cache
from storage.read.budget import Budget
from storage.read.reader import CachedGraphReader
from storage.read.selected_cache import Asked, SelectedAnswers
from storage.read.tree_cache import KeptTrees
from tests.unit.storage.read.fake_reads import KEYSPACE, World

NAMES = Selection(fields=Fields(members=frozenset({"edges"}), properties=frozenset({"f"})))
LIKES = Selection(types=frozenset({"likes"}))
UNTIL = Selection(until=datetime(2025, 1, 1, tzinfo=UTC))
ALONE = Selection(fields=Fields(properties=frozenset({"f"})))


@pytest.fixture
def world() -> World:
    return World()


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


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The roots of answers that were put together of memory."""
    roots: list[int] = []
    make = SelectedAnswers.make

    def counted(self: SelectedAnswers, asked: Asked, *, budget: int) -> Answer | None:
        roots.append(asked.root)
        return make(self, asked, budget=budget)

    monkeypatch.setattr(SelectedAnswers, "make", counted)
    return roots


@pytest.mark.parametrize("selection", [NAMES, LIKES, UNTIL, ALONE])
async def test_it_is_the_answer_of_the_usual_way(
    world: World, reader: CachedGraphReader, made: list[int], selection: Selection
) -> None:
    world.catch_up()
    assert reader.recall(1, depth=3, since=None, selection=selection) is None
    usual = await reader.graph(1, depth=3, since=None, selection=selection)
    assert usual is not None
    made.clear()
    for _ in range(3):
        kept = reader.recall(1, depth=3, since=None, selection=selection)
        assert kept is not None
        assert (kept.body, kept.etag, kept.cache) == (usual.body, usual.etag, "hit")
        assert (kept.upper, kept.read_at) == (usual.upper, usual.read_at)
    assert made == [1]


async def test_each_part_of_the_question_has_an_answer_of_its_own(
    world: World, reader: CachedGraphReader
) -> None:
    world.catch_up()
    await reader.graph(1, depth=3, since=None, selection=NAMES)
    since = datetime(2025, 1, 1, tzinfo=UTC)
    answers = [
        reader.recall(root, depth=depth, since=date, selection=selection)
        for root, depth, date, selection in [
            (1, 3, None, NAMES),
            (1, 3, None, UNTIL),
            (1, 1, None, NAMES),
            (1, 3, since, NAMES),
            (2, 3, None, NAMES),
        ]
    ]
    assert all(answers)
    assert len({answer.etag for answer in answers if answer is not None}) == 5


@pytest.mark.parametrize("changed", [1, 2])
async def test_a_change_of_any_entity_that_it_shows_ends_it(
    world: World, reader: CachedGraphReader, changed: int
) -> None:
    world.catch_up()
    await reader.graph(1, depth=3, since=None, selection=NAMES)
    assert reader.recall(1, depth=3, since=None, selection=NAMES) is not None
    await world.invalidator.invalidate(Changes(position=130, entities=frozenset({changed})))
    assert reader.recall(1, depth=3, since=None, selection=NAMES) is None


async def test_a_change_beside_it_leaves_it(world: World, reader: CachedGraphReader, made: list[int]) -> None:
    world.catch_up()
    await reader.graph(1, depth=3, since=None, selection=ALONE)
    assert reader.recall(1, depth=3, since=None, selection=ALONE) is not None
    await world.invalidator.invalidate(Changes(position=130, entities=frozenset({2})))
    assert reader.recall(1, depth=3, since=None, selection=ALONE) is not None
    assert made == [1]


async def test_an_edge_to_an_entity_that_memory_lacks_is_left_to_the_usual_way(
    world: World, reader: CachedGraphReader
) -> None:
    world.history[2] = [(120, 200)]
    world.source.primary.position = 130
    world.level.mark_all(50)
    await world.load(1)
    await reader.graph(1, depth=3, since=None, selection=NAMES)
    assert reader.recall(1, depth=3, since=None, selection=NAMES) is None


async def test_a_lost_channel_ends_all(world: World, reader: CachedGraphReader) -> None:
    world.catch_up()
    await reader.graph(1, depth=3, since=None, selection=NAMES)
    assert reader.recall(1, depth=3, since=None, selection=NAMES) is not None
    world.memory.lose()
    assert reader.recall(1, depth=3, since=None, selection=NAMES) is None


async def test_what_is_kept_is_bounded_by_bytes(world: World) -> None:
    world.catch_up()
    await world.load(1, 2)
    answers = SelectedAnswers(world.memory, world.clock, max_bytes=40_000)
    asked = [
        Asked(1, 3, None, Selection(fields=Fields(properties=frozenset({f"p{number}"}))))
        for number in range(100)
    ]
    for each in asked:
        assert answers.make(each, budget=Budget(nodes=100)) is not None
    kept = [each for each in asked if answers.get(each) is not None]
    assert 0 < len(kept) < 40
    assert kept[-1] == asked[-1]


async def test_one_that_takes_too_much_is_answered_and_not_kept(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.catch_up()
    await world.load(1, 2, 3)
    monkeypatch.setattr(selected_cache, "_OVERHEAD_BYTES", 5_000)
    answers = SelectedAnswers(world.memory, world.clock, max_bytes=40_000)
    assert answers.make(Asked(1, 3, None, NAMES), budget=Budget(nodes=100)) is not None
    assert answers.get(Asked(1, 3, None, NAMES)) is None


async def test_a_page_of_a_look_up_is_that_of_the_usual_way(
    world: World, reader: CachedGraphReader, made: list[int]
) -> None:
    world.catch_up()
    usual = await reader.by_property("f", "100", depth=3, since=None, limit=20, after=0, selection=NAMES)
    assert usual.body not in (None, b"[]")
    for _ in range(2):
        kept = reader.recall_by_property("f", "100", depth=3, since=None, limit=20, after=0, selection=NAMES)
        assert kept is not None
        assert (kept.body, kept.etag) == (usual.body, usual.etag)
    assert made == [1]


@pytest.mark.parametrize(
    "large", [Budget(nodes=3), Budget(nodes=100, edges=2), Budget(nodes=100, size_bytes=300)]
)
async def test_what_is_large_is_not_gone_through_to_find_that_out(
    world: World, reader: CachedGraphReader, monkeypatch: pytest.MonkeyPatch, large: Budget
) -> None:
    everybody = list(range(1, 10))
    for number in everybody:
        await world.commit(number, 1, edges=[other for other in everybody if other != number])
    await world.load(*everybody)
    chosen: list[int] = []
    choose = selected.choose
    monkeypatch.setattr(selected, "choose", lambda f, s: chosen.append(f.id) or choose(f, s))
    monkeypatch.setattr(selected_cache, "LARGE", large)
    assert reader.recall(1, depth=9, since=None, selection=NAMES) is None
    assert len(chosen) <= 3
