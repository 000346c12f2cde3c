"""The walk of several roots at once, a level at a time, within one budget."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import TypeVar

from storage.cache.fragments import Fragment
from storage.read.budget import SMALL, Budget, Cost, is_large
from storage.read.fragment_loader import FragmentLoader
from storage.read.outcome import Reading
from storage.read.tree import LOADED_AT_ONCE, Tree

T = TypeVar("T")
AnyTree = TypeVar("AnyTree", bound=Tree)


async def apart(cost: Cost, work: Callable[..., T], *arguments: object) -> T:
    """The result of the work, from a thread where the cost is large.

    Work of a middle size gives the other tasks their turn afterwards: a request has a hundred roots, and as many such
    pieces.
    """
    if is_large(cost):
        return await asyncio.to_thread(work, *arguments)
    done = work(*arguments)
    if not SMALL.holds(cost):
        await asyncio.sleep(0)
    return done


async def walk(
    load: FragmentLoader,
    trees: Sequence[AnyTree],
    reading: Reading,
    budget: Budget,
    *,
    fragments: Mapping[int, Fragment] | None = None,
    others: Mapping[int, Cost] | None = None,
    order: Sequence[int] = (),
    hints: Iterable[int] = (),
) -> list[AnyTree]:
    """Walk these trees to their ends; returns the first of them, as many as the budget holds together.

    `others` are trees of the same answer that need no walk, by root, and `order` is that of all its roots. `fragments`
    are those of the reading, or what they become.
    """
    known = reading.known
    fragments = reading.fragments if fragments is None else fragments
    walking = list(trees)
    while True:
        while walking:
            # Each once, in an order that all requests share; what came as a hint is there.
            # Of the first trees first: those behind them may have no room, and what is loaded at once is memory.
            wanted: set[int] = set()
            for tree in walking:
                if len(wanted) >= LOADED_AT_ONCE:
                    break
                wanted.update(await apart(Cost(nodes=tree.unweighed), tree.missing, fragments, known))
            walking = _within(budget, walking, order, others or {})
            if not wanted or not walking:
                break
            levels = max([tree.levels_left for tree in walking])
            await load.load(sorted(wanted), max(0, levels), reading, hints)
        for tree in walking:
            await apart(_ahead(tree, fragments), tree.advance, fragments)
        kept = _within(budget, [*trees], order, others or {})
        walking = [tree for tree in kept if tree.frontier]
        if not walking:
            return kept
        hints = [node for tree in walking for node in _hinted(tree, fragments)]


def _ahead(tree: Tree, fragments: Mapping[int, Fragment]) -> Cost:
    """What the next step of a walk goes through, at the most."""
    met = [fragments[node] for node in tree.frontier if node in fragments]
    return Cost(nodes=len(tree.frontier), edges=sum([len(fragment.edges) for fragment in met]))


def _within(
    budget: Budget, trees: list[AnyTree], order: Sequence[int], others: Mapping[int, Cost]
) -> list[AnyTree]:
    """Those of the first roots that fit together as far as they were walked: they only grow."""
    if len(order) < 2:  # noqa: PLR2004 - one tree has a budget of its own
        return trees
    costs = {**others, **{tree.root: tree.cost for tree in trees}}
    kept = set(order[: budget.fitting(costs.get(root, Cost()) for root in order)])
    return [tree for tree in trees if tree.root in kept]


def _hinted(tree: Tree, fragments: Mapping[int, Fragment]) -> Iterable[int]:
    """What a walk that has just left its root is likely to need after the level before it."""
    root = fragments.get(tree.root)
    if tree.level == 1 and root is not None and root.below:
        return chain.from_iterable(root.below[: tree.levels_left])
    return ()
