"""An audit compares what a kept tree answers with a fresh assembly, and not only the fragments that it names."""

from random import Random

import pytest

from app.core.clock import SystemClock
from storage.audit.auditor import CacheAuditor
from storage.audit.trees import AuditedTrees
from storage.read.budget import Budget
from storage.read.reader import CachedGraphReader
from storage.read.tree_cache import KeptTrees
from tests.unit.storage.read.fake_reads import KEYSPACE, World


class Audited:
    def __init__(self) -> None:
        self.world = world = World()
        self.kept = KeptTrees(world.memory, world.clock, max_bytes=1 << 20)
        self.reader = CachedGraphReader(
            world.fragments,
            world.lists,
            self.kept,
            KEYSPACE,
            SystemClock(),
            budget=Budget(nodes=100),
            retention_months=None,
        )
        self.auditor = CacheAuditor(
            [],
            world.source,  # type: ignore[arg-type]
            KEYSPACE,
            world.invalidator,
            budget=Budget(nodes=100),
            trees=AuditedTrees(self.kept, world.source, Random(1), budget=Budget(nodes=100)),  # type: ignore[arg-type]
        )


@pytest.fixture
async def audited() -> Audited:
    made = Audited()
    for root, depth in ((1, 3), (1, 1), (2, 2)):
        await made.reader.graph(root, depth=depth, since=None)
    return made


async def test_trees_that_say_what_the_primary_says_are_right(audited: Audited) -> None:
    report = await audited.auditor.audit(sample=100, grace_s=0)
    assert (report.checked, report.mismatches) == ({"tree": 3}, [])


async def test_a_tree_with_other_edges_than_its_fragments_is_found_and_dropped(audited: Audited) -> None:
    skeleton, _ = next(each for each in audited.kept.held() if each[0].root == 2)
    skeleton._pieces = tuple(piece.replace(b'"r3"', b'"r4"') for piece in skeleton._pieces)
    report = await audited.auditor.audit(sample=100, grace_s=0, repair=True)
    assert [(m.kind, m.level, m.subject) for m in report.mismatches] == [("tree", "memory", "2")]
    assert report.repaired
    assert (await audited.auditor.audit(sample=100, grace_s=0)).mismatches == []


async def test_a_tree_that_nobody_told_of_a_change_is_found(audited: Audited) -> None:
    audited.world.write(3, 301)
    report = await audited.auditor.audit(sample=100, grace_s=0)
    assert sorted(mismatch.subject for mismatch in report.mismatches) == ["1", "2"]


async def test_a_tree_that_no_longer_holds_is_not_looked_at(audited: Audited) -> None:
    audited.world.memory.invalidate([3])
    report = await audited.auditor.audit(sample=100, grace_s=0)
    assert report.checked == {"tree": 1}
