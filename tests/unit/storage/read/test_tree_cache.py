"""What is kept of trees holds exactly as long as each of its fragments is the one in memory."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from app.ports.graph import Answer
from storage.cache.fragments import Fragment
from storage.cache.memory import AGING_S, LIFETIME_S, MemoryCache
from storage.read.budget import Budget
from storage.read.rendered_tree import Skeleton
from storage.read.tree import Tree
from storage.read.tree_cache import KeptTrees
from tests.unit.storage.read.test_tree import fragment, points


@dataclass
class Clock:
    at: float = 0.0

    def monotonic(self) -> float:
        return self.at

    def now(self) -> datetime:
        return datetime(2025, 1, 1, tzinfo=UTC)

    def epoch_s(self) -> float:
        return self.now().timestamp()


class Kept:
    """1 → 2 → 3, of which 2 has points on the days 1, 5 and 9."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.memory: MemoryCache[Any] = MemoryCache(self.clock, max_bytes=1 << 20)
        self.memory.restore()
        rows = points(*[("k", "day", day, str(day)) for day in (1, 5, 9)])
        self.fragments = {1: fragment(1, [2]), 2: fragment(2, [3], **rows), 3: fragment(3, [])}
        for each in self.fragments.values():
            self.store(each)
        self.trees = KeptTrees(self.memory, self.clock, max_bytes=1 << 20)

    def store(self, each: Fragment) -> None:
        self.memory.put(each.id, each, each.size_bytes, self.memory.ticket())

    def walk(self, depth: int) -> Skeleton:
        tree = Tree(1, depth=depth, budget=Budget(nodes=100))
        while not tree.done:
            tree.advance(self.fragments)
        skeleton = Skeleton.of(tree, depth=depth)
        self.trees.keep(skeleton, depth)
        return skeleton


@pytest.fixture
def kept() -> Kept:
    return Kept()


def since(day: int) -> datetime:
    return datetime(2025, 1, day, tzinfo=UTC)


def test_a_whole_tree_serves_each_depth_that_reaches_it(kept: Kept) -> None:
    skeleton = kept.walk(10)
    assert kept.trees.skeleton(1, 2, 0) is skeleton
    assert kept.trees.skeleton(1, 7, 0) is skeleton
    assert kept.trees.skeleton(1, 1, 0) is None
    short = kept.walk(1)
    assert kept.trees.skeleton(1, 1, 0) is short
    assert kept.trees.skeleton(1, 2, 0) is skeleton


def test_it_falls_with_any_of_its_fragments(kept: Kept) -> None:
    skeleton = kept.walk(3)
    assert kept.trees.skeleton(1, 3, 0) is skeleton
    kept.memory.invalidate([99])
    assert kept.trees.skeleton(1, 3, 0) is skeleton
    kept.memory.invalidate([3])
    assert kept.trees.skeleton(1, 3, 0) is None


def test_it_falls_with_what_was_read_anew_and_of_which_nobody_told(kept: Kept) -> None:
    skeleton = kept.walk(3)
    assert kept.trees.skeleton(1, 3, 0) is skeleton
    kept.store(fragment(2, []))
    assert kept.trees.skeleton(1, 3, 0) is None


def test_it_falls_with_what_memory_has_no_room_for_any_more(kept: Kept) -> None:
    """At once where somebody tells of it, and soon where nobody does."""
    skeleton = kept.walk(3)
    assert kept.trees.skeleton(1, 3, 0) is skeleton
    for number in range(100, 120):  # a seventeenth of what there is room for, each
        kept.memory.put(number, kept.fragments[1], 60_000, kept.memory.ticket())
    assert kept.memory.peek(3) is None
    assert kept.trees.skeleton(1, 3, 0) is skeleton
    kept.clock.at += 11
    assert kept.trees.skeleton(1, 3, 0) is None

    kept.store(kept.fragments[1])
    kept.store(kept.fragments[2])
    kept.store(kept.fragments[3])
    assert kept.trees.skeleton(1, 3, 0) is skeleton
    for number in range(200, 220):
        kept.memory.put(number, kept.fragments[1], 60_000, kept.memory.ticket())
    assert kept.memory.peek(3) is None
    assert kept.trees.skeleton(1, 3, 0) is skeleton
    kept.memory.invalidate([3])
    assert kept.trees.skeleton(1, 3, 0) is None


def test_it_holds_whatever_happens_to_others_of_its_stamp(kept: Kept) -> None:
    skeleton = kept.walk(3)
    assert kept.trees.skeleton(1, 3, 0) is skeleton
    other = 3 + (1 << 16)
    for _ in range(3):
        stamp = kept.memory.stamp(skeleton.held.places)
        kept.memory.invalidate([other])
        assert kept.memory.stamp(skeleton.held.places) > stamp
        assert kept.trees.skeleton(1, 3, 0) is skeleton


def test_it_is_made_anew_of_what_leads_nowhere_else(kept: Kept) -> None:
    skeleton = kept.walk(3)
    kept.memory.invalidate([3])
    later = fragment(3, [], properties='{"n": {"value": "other"}}')
    kept.store(later)
    renewed = kept.trees.skeleton(1, 3, 0)
    assert renewed is not None
    assert renewed is not skeleton
    assert renewed.items == ((1, kept.fragments[1]), (2, kept.fragments[2]), (3, later))
    assert b"other" in renewed.body(0)
    assert kept.trees.skeleton(1, 3, 0) is renewed
    assert kept.trees.skeleton(1, 3, renewed.position + 1) is None
    kept.memory.invalidate([2])
    kept.store(fragment(2, []))
    assert kept.trees.skeleton(1, 3, 0) is None


def test_it_falls_when_the_channel_is_lost(kept: Kept) -> None:
    skeleton = kept.walk(3)
    assert kept.trees.skeleton(1, 3, 0) is skeleton
    kept.memory.lose()
    assert kept.trees.skeleton(1, 3, 0) is None
    kept.memory.restore()
    assert kept.trees.skeleton(1, 3, 0) is None


def test_it_falls_when_a_fragment_is_a_minute_old(kept: Kept) -> None:
    skeleton = kept.walk(3)
    kept.clock.at = LIFETIME_S - 1
    kept.store(kept.fragments[1])
    assert kept.trees.skeleton(1, 3, 0) is skeleton
    kept.clock.at = LIFETIME_S + 1
    assert kept.trees.skeleton(1, 3, 0) is None


def test_what_its_trees_show_is_asked_for(kept: Kept) -> None:
    skeleton = kept.walk(3)
    kept.clock.at = LIFETIME_S - AGING_S
    assert set(kept.memory.take_aging()) == {1, 2, 3}
    # Read anew, it holds for another minute.
    for number, each in kept.fragments.items():
        assert kept.memory.renew(number, each)
    kept.clock.at = LIFETIME_S + 1
    assert kept.trees.skeleton(1, 3, 0) is skeleton
    # Also by trees, and not for longer than that.
    for _ in range(6):
        for number, each in kept.fragments.items():
            kept.memory.renew(number, each)
        kept.clock.at += LIFETIME_S - AGING_S
        assert set(kept.memory.take_aging()) == {1, 2, 3}
        assert kept.trees.skeleton(1, 3, 0) is skeleton
    for _ in range(7):
        for number, each in kept.fragments.items():
            kept.memory.renew(number, each)
        kept.clock.at += LIFETIME_S - AGING_S
    assert kept.memory.take_aging() == []


@pytest.mark.parametrize("left_s", [AGING_S / 2, 0.5])
def test_a_tree_that_nobody_reads_anew_ends_in_time(kept: Kept, left_s: float) -> None:
    skeleton = kept.walk(3)
    kept.clock.at = LIFETIME_S - left_s
    assert kept.trees.skeleton(1, 3, 0) is skeleton
    kept.clock.at = LIFETIME_S + 0.1
    assert kept.trees.skeleton(1, 3, 0) is None


def test_what_was_walked_is_told_by_depth_and_also_when_it_is_old(kept: Kept) -> None:
    assert list(kept.trees.walked(1, 10)) == []
    kept.walk(10)
    kept.memory.lose()
    assert [list(kept.trees.walked(1, depth)) for depth in (1, 2, 10)] == [[1, 2], [1, 2, 3], [1, 2, 3]]


def test_it_must_have_reached_the_token(kept: Kept) -> None:
    skeleton = kept.walk(3)
    assert kept.trees.skeleton(1, 3, skeleton.position) is skeleton
    assert kept.trees.skeleton(1, 3, skeleton.position + 1) is None


def test_periods_that_select_the_same_rows_share_an_answer(kept: Kept) -> None:
    skeleton = kept.walk(3)

    def asked() -> list[Answer]:
        periods = [None if day is None else since(day) for day in (None, 1, 2, 5, 6)]
        return [kept.trees.answer(skeleton, 3, period) for period in periods]

    once, answers = asked(), asked()
    assert answers[0] is answers[1] is once[1]
    assert answers[2] is answers[3] is once[3]
    assert once[4] is not answers[4], "what was asked for once is not kept"
    assert answers[4] is asked()[4]
    assert len({answer.etag for answer in answers}) == 3
    assert len({answer.body for answer in answers}) == 3
    assert [(answer.body or b"").count(b'"value":') - 3 for answer in answers] == [3, 3, 2, 2, 1]


def test_an_answer_falls_with_its_walk(kept: Kept) -> None:
    before = kept.trees.answer(kept.walk(3), 3, None)
    kept.fragments[3] = fragment(3, [], reference="changed")
    kept.memory.invalidate([3])
    kept.store(kept.fragments[3])
    after = kept.trees.answer(kept.walk(3), 3, None)
    assert b'"changed"' in (after.body or b"")
    assert after.etag != before.etag


def test_a_tree_that_lacks_an_entity_is_not_kept(kept: Kept) -> None:
    del kept.fragments[3]
    skeleton = kept.walk(3)
    assert not skeleton.is_whole
    assert kept.trees.skeleton(1, 3, 0) is None


def test_trees_of_before_do_not_hold_on_to_what_has_changed() -> None:
    """A hundred roots lead to one large entity that changes between their reads."""
    kept = Kept()
    rows = points(*[("k", "day", day, str(day)) for day in range(1, 28)])
    changed = 0
    trees = KeptTrees(kept.memory, kept.clock, max_bytes=100_000)
    for root in range(10, 110):
        hub = fragment(3, [], **rows)
        changed += hub.size_bytes
        kept.store(hub)
        fragments = {root: fragment(root, [3]), 3: hub}
        kept.store(fragments[root])
        tree = Tree(root, depth=2, budget=Budget(nodes=10))
        while not tree.done:
            tree.advance(fragments)
        trees.keep(Skeleton.of(tree, depth=2), 2)
        trees.answer(Skeleton.of(tree, depth=2), 2, None)
    held = {
        id(item): item.size_bytes
        for skeleton in trees._skeletons.values()
        for _, item in skeleton.items
        if item.id == 3 and item is not hub
    }
    assert changed > 300_000
    assert sum(held.values()) < 100_000
    assert trees.skeleton(109, 2, 0) is not None


def test_trees_do_not_hold_on_to_what_memory_has_no_room_for() -> None:
    """Of a hundred roots, each with one entity of its own, nobody tells anything."""
    kept = Kept()
    kept.memory = MemoryCache(kept.clock, max_bytes=50_000)
    kept.memory.restore()
    trees = KeptTrees(kept.memory, kept.clock, max_bytes=100_000)
    for root in range(10, 110):
        fragments = {root: fragment(root, [])}
        kept.memory.put(root, fragments[root], 2_000, kept.memory.ticket())
        tree = Tree(root, depth=1, budget=Budget(nodes=10))
        while not tree.done:
            tree.advance(fragments)
        trees.keep(Skeleton.of(tree, depth=1), 1)
        assert trees.skeleton(root, 1, 0) is not None
    assert len(kept.memory) < 25
    assert len(trees._skeletons) < 60
