"""Kept trees as an audit sees them: what one would answer now, against a fresh assembly of what the primary holds.

The fragments that a tree names are audited as such; whether its edges are theirs only the whole shows.
"""

from collections.abc import Sequence
from random import Random
from typing import Final, NamedTuple

from storage.cache import fragments
from storage.postgres.replicas import ReadSource
from storage.read import graph_queries
from storage.read.budget import Budget
from storage.read.rendered_tree import Skeleton
from storage.read.tree import Tree
from storage.read.tree_cache import KeptTrees

MOST_ENTITIES: Final = 200  # of a tree: each is read from the primary, which has other things to do


class KeptTree(NamedTuple):
    """A tree and the depth that it serves."""

    skeleton: Skeleton
    depth: int


class TreeVerdict(NamedTuple):
    """Whether the tree differs from what the primary held at `position`; `upper` was read after it."""

    tree: KeptTree
    differs: bool
    position: int
    upper: int


class AuditedTrees:
    """The trees of this process. Nothing here changes what is evicted next. Raises TransientError."""

    def __init__(self, kept: KeptTrees, source: ReadSource, random: Random, *, budget: Budget) -> None:
        self._kept = kept
        self._source = source
        self._random = random
        self._budget = budget

    def sample(self, count: int) -> list[KeptTree]:
        """Up to `count` of those that would answer now, by chance."""
        most = min(MOST_ENTITIES, self._budget.nodes - 1)
        # A tree of many edges is more than one statement brings.
        edges = self._budget.nodes
        held = [
            KeptTree(*each)
            for each in self._kept.held()
            if len(each[0].items) <= most and each[0].cost.edges <= edges
        ]
        return self._random.sample(held, min(count, len(held)))

    def still_held(self, trees: Sequence[KeptTree]) -> list[KeptTree]:
        """Those that would answer unchanged."""
        held = {id(skeleton) for skeleton, _ in self._kept.held()}
        return [tree for tree in trees if id(tree.skeleton) in held]

    async def compare(self, trees: Sequence[KeptTree]) -> list[TreeVerdict]:
        """Assemble each from the primary."""
        return [await self._compare(tree) for tree in trees]

    async def _compare(self, tree: KeptTree) -> TreeVerdict:
        root, budget = tree.skeleton.root, self._budget
        ask = graph_queries.graph([root], levels=tree.depth, budget=budget)
        read = await self._source.read_primary(ask)
        if read.result.is_cut:  # it can't be told from what one statement brings
            return TreeVerdict(tree, False, read.position, read.upper)
        rows = [fragments.from_row(row, position=0, upper=0, read_at=0) for row in read.result.rows]
        by_id = {fragment.id: fragment for fragment in rows}
        walk = Tree(root, depth=tree.depth, budget=budget)
        while not walk.done:
            walk.advance(by_id)
        differs = root not in by_id or Skeleton.of(walk, depth=tree.depth).body(0) != tree.skeleton.body(0)
        return TreeVerdict(tree, differs, read.position, read.upper)
