"""Answers to selections (`fields`, `types`, `as_of`), kept for as long as the fragments hold that they were made of."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from cachebox import LRUCache

from app.core.clock import Clock
from app.core.consistency_token import latest
from app.core.selection import Selection
from app.ports.graph import Answer
from storage.cache.fragments import Fragment
from storage.cache.memory import Memory
from storage.read import selected
from storage.read.budget import LARGE, Budget, Cost
from storage.read.held_fragments import HeldFragments

_OVERHEAD_BYTES: Final = 1_000
WITH_GZIP: Final = 1.25  # the web keeps an answer's compressed form with it


class Asked(NamedTuple):
    """What was asked of one root; `since` as fragments spell dates."""

    root: int
    depth: int
    since: bytes | None
    selection: Selection


class SelectedAnswer(NamedTuple):
    """An answer, and what its tree costs."""

    answer: Answer
    cost: Cost


class _Kept(NamedTuple):
    fragments: HeldFragments
    answer: SelectedAnswer
    size: int


class SelectedAnswers:
    """Least recently used, bounded by bytes. Nothing is kept of a tree with an edge to an entity that was not found."""

    def __init__(self, memory: Memory, clock: Clock, *, max_bytes: int) -> None:
        self._memory = memory
        self._now = clock.monotonic
        self._max_entry = max_bytes // 8
        self._kept: LRUCache[Asked, _Kept] = LRUCache(max_bytes, getsizeof=lambda _, kept: kept.size)

    def get(self, asked: Asked) -> SelectedAnswer | None:
        """The answer, where all that it shows still holds."""
        kept: _Kept | None = self._kept.get(asked)
        if kept is None:
            return None
        if not kept.fragments.hold(self._memory, self._now()):
            self._kept.pop(asked, None)
            return None
        return kept.answer

    def make(self, asked: Asked, *, budget: Budget) -> SelectedAnswer | None:
        """The answer, made of memory alone, and kept; None where memory lacks a part of it, or it is large."""
        recall = self._memory.get
        whole: dict[int, Fragment] = {}
        chosen: dict[int, Fragment] = {}
        tree = selected.SelectedTree.of(asked.root, asked.depth, asked.selection, budget=budget, whole=whole)
        size = edges = 0
        while not tree.done:
            if len(whole) + len(tree.frontier) > LARGE.nodes:
                return None
            for node in tree.frontier:
                fragment = recall(node)
                if not isinstance(fragment, Fragment):
                    return None
                # Its properties are parsed, and its edges compared, before they are counted.
                size, edges = size + len(fragment.head), edges + len(fragment.edges)
                if size > LARGE.size_bytes or edges > LARGE.edges:
                    return None
                whole[node], chosen[node] = fragment, selected.choose(fragment, asked.selection)
            tree.advance(chosen)
            if tree.is_large:
                return None
        body = tree.render(asked.since)
        assert body is not None  # noqa: S101 - the root was there
        answer = Answer(
            body=body,
            cache="hit",
            etag=selected.etag(body, asked.depth, asked.since, asked.selection),
            upper=latest([fragment.upper for fragment in whole.values()]),
            read_at=min([fragment.read_at for fragment in whole.values()]),
        )
        made = SelectedAnswer(answer, tree.cost)
        self._keep(asked, whole, made)
        return made

    def _keep(self, asked: Asked, fragments: Mapping[int, Fragment], made: SelectedAnswer) -> None:
        size = (
            _OVERHEAD_BYTES
            + asked.selection.size_bytes
            # Memory may let go of them before this does.
            + sum([fragment.size_bytes for fragment in fragments.values()])
            + int(WITH_GZIP * len(made.answer.body or b""))
        )
        if size <= self._max_entry:
            self._kept[asked] = _Kept(HeldFragments(tuple(fragments.items())), made, size)
