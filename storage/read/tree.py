"""Puts a tree together from fragments, breadth first, by joining bytes.

An entity is expanded once, at its shallowest place; where it occurs again its stub stands. So cycles end, and a
dense graph costs its nodes and edges, not its paths.
"""

from collections.abc import Container, Mapping
from itertools import islice
from typing import Final, NamedTuple

from storage.cache.fragments import Fragment
from storage.read.budget import LARGE, Budget, Cost, weight_of

_Child = tuple[bytes, int, bool]  # opening bytes, target, expanded here

LOADED_AT_ONCE: Final = 1_000


class Tree:
    """The walk of one root, a level at a time, so that what a level needs can be fetched at once.

    `budget` bounds what is expanded; where it cuts, the answer says so. The entity with which points or bytes are used
    up is left out, and all behind it in the order of the walk, but never the root. Where edges are not shown, heads end
    before them. `fragments` are those that the walk went through, which are all that the answer shows: what is read of
    them later, or of an entity that the walk found missing, belongs to other edges.
    """

    shows_edges = True
    shows_temporal = True

    def __init__(self, root: int, *, depth: int, budget: Budget) -> None:
        self.root = root
        self._depth = depth
        self.budget = budget
        self._seen = {root}
        self.order = [root]  # every entity that the answer shows or leaves out, in the order of the walk
        self.fragments: dict[int, Fragment] = {}
        self.level_ends: list[int] = []  # how many of them each level and those above it have
        self._children: dict[int, list[_Child]] = {}
        self._cut: set[int] = set()
        self._left_out: set[int] = set()
        self._weighed = 0  # how many of the frontier were
        self.is_full = False  # points or bytes were used up
        self._edges = 0
        self._points = 0
        self._bytes = 0
        self.level = 0
        self.frontier = [root]
        self.is_complete = False  # nothing lies deeper
        self.deepest = 0  # the least depth that gives this tree, where it is complete

    @property
    def done(self) -> bool:
        return not self.frontier

    @property
    def levels_left(self) -> int:
        """Levels of relationships below the frontier."""
        return self._depth - self.level

    @property
    def unweighed(self) -> int:
        """How many of the frontier are still to be looked at."""
        return len(self.frontier) - self._weighed

    @property
    def cost(self) -> Cost:
        """What it shows so far; it only grows."""
        return Cost(len(self._seen), self._edges, self._points, self._bytes)

    @property
    def is_large(self) -> bool:
        """Whether its cost is, which is found quicker so."""
        return (
            len(self._seen) > LARGE.nodes
            or self._edges > LARGE.edges
            or self._points > LARGE.points
            or self._bytes > LARGE.size_bytes
        )

    def missing(self, fragments: Mapping[int, Fragment], known: Container[int]) -> list[int]:
        """Those of the frontier that are to be loaded next: a part, and none once the budget is used up.

        `known` are those of which it is known whether they exist.
        """
        self._weigh(fragments, known)
        if self.is_full:
            return []
        sought = islice(self.frontier, self._weighed, self._weighed + LOADED_AT_ONCE)
        return [node for node in sought if node not in fragments and node not in known]

    def _weigh(self, fragments: Mapping[int, Fragment], known: Container[int] | None) -> None:
        """Take the frontier's fragments in order, up to the first that is not known; None: all are."""
        budget, frontier = self.budget, self.frontier
        for node in islice(frontier, self._weighed, None) if self._weighed else frontier:
            if self.is_full:
                break
            fragment = fragments.get(node)
            if fragment is not None:
                points, size = self._weight(fragment)
                is_over = self._points + points > budget.points or self._bytes + size > budget.size_bytes
                if is_over and node != self.root:
                    self.is_full = True
                    break
                self._points += points
                self._bytes += size
                self.fragments[node] = fragment
            elif known is not None and node not in known:
                return
            self._weighed += 1

    def _weight(self, fragment: Fragment) -> tuple[int, int]:
        """Its points and bytes."""
        return weight_of(fragment)

    def advance(self, fragments: Mapping[int, Fragment]) -> None:
        """Go from this level to the next; every id of `frontier` that exists and has room is in `fragments`."""
        self._weigh(fragments, None)
        following: list[int] = []
        frontier = self.frontier
        if self.is_full:
            self._left_out.update(frontier[self._weighed :])
            frontier = frontier[: self._weighed]
        met = [fragment for fragment in map(self.fragments.get, frontier) if fragment is not None]
        inner = [fragment for fragment in met if fragment.edges]
        if not inner:
            self.is_complete, self.deepest = not self.is_full, self.level
        elif self.level < self._depth:
            for fragment in inner:
                self._expand(fragment, following)
            if not following:
                self.is_complete, self.deepest = not self.is_full, self.level + 1
        self.level += 1
        self.level_ends.append(len(self.order))
        self.order += following
        self.frontier = following
        self._weighed = 0

    def _expand(self, fragment: Fragment, following: list[int]) -> None:
        seen, nodes = self._seen, self.budget.nodes
        children = self._children[fragment.id] = []
        edges = fragment.edges
        if fragment.edges_total > len(edges):
            self._cut.add(fragment.id)
        if self._edges + len(edges) > self.budget.edges:
            edges = edges[: self.budget.edges - self._edges]
            self._cut.add(fragment.id)
        self._edges += len(edges)
        if self.is_full:
            nodes = 0
        for opening, target in edges:
            if target in seen:
                children.append((opening, target, False))
            elif len(seen) < nodes:
                seen.add(target)
                following.append(target)
                children.append((opening, target, True))
            else:
                self._cut.add(fragment.id)

    def written(self) -> "Written":
        """The JSON object in parts. The walk has to be done, and the root to exist."""
        written = Written([], [], [])
        self._add(self.fragments[self.root], written)
        return written

    def _truncated(self, fragment: Fragment) -> bytes:
        counts = []
        if self.shows_edges and fragment.id in self._cut:
            counts.append(b'"edges_total":%d' % fragment.edges_total)
        if self.shows_temporal and fragment.points_total:
            counts.append(b'"points_total":%d' % fragment.points_total)
        return b',"truncated":{' + b",".join(counts) + b"}" if counts else b""

    def _add(self, fragment: Fragment, written: "Written") -> None:
        parts = written.parts
        written.heads.append((len(parts), fragment.id))
        # As deep as the tree, which is ten levels at most.
        parts.append(fragment.head)
        closing = b""
        if self.shows_edges:
            separator = b""
            for opening, target, expanded in self._children.get(fragment.id, ()):
                child = self.fragments.get(target)
                if child is None:  # an edge to an entity that is gone, or was left out
                    if target in self._left_out:
                        self._cut.add(fragment.id)
                    continue
                if not expanded:
                    self._bytes += len(child.stub) + len(opening)
                    if self._bytes > self.budget.size_bytes:
                        self.is_full = True
                        self._cut.add(fragment.id)
                        continue
                parts.append(separator + opening)
                if expanded:
                    self._add(child, written)
                else:
                    parts.append(child.stub)
                separator = b"},"
            closing = b"}]" if separator else b"]"
        if fragment.id in self._cut or fragment.points_total:
            closing += self._truncated(fragment)
        if not self.shows_temporal:
            parts.append(closing + b"}")
        elif fragment.temporal:
            parts.append(closing + b',"temporal_data":')
            written.slots.append((len(parts), fragment))
            parts.append(b"")
            parts.append(b"}")
        else:
            parts.append(closing + b',"temporal_data":null}')


class Written(NamedTuple):
    """A JSON object in parts: at `slots` temporal data is to stand, at `heads` stands what an entity begins with."""

    parts: list[bytes]
    slots: list[tuple[int, Fragment]]
    heads: list[tuple[int, int]]  # the part and the entity's id

    def joined(self, since: bytes | None) -> bytes:
        """The bytes, with temporal data from `since` on. Fills the slots."""
        for place, fragment in self.slots:
            self.parts[place] = temporal_data(fragment, since)
        return b"".join(self.parts)


def temporal_data(fragment: Fragment, since: bytes | None) -> bytes:
    """`{key: [points]}` of reference dates from `since` on, or `null` where there is none."""
    kept = [points for series in fragment.temporal if (points := series.since(since))]
    return b"{" + b"],".join(kept) + b"]}" if kept else b"null"
