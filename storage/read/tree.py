"""Puts a tree together from fragments, breadth first, by joining bytes.

An entity is expanded once, at its shallowest place; where it occurs again its stub stands. So cycles end, and a
dense graph costs its nodes and edges, not its paths.
"""

from collections.abc import Mapping
from typing import NamedTuple

from storage.cache.fragments import Fragment

_Child = tuple[bytes, int, bool]  # opening bytes, target, expanded here


class Tree:
    """The walk of one root, a level at a time, so that what a level needs can be fetched at once.

    `budget` bounds the entities that are expanded; where it cuts, the answer says so. Where edges are not shown, heads
    end before them. `fragments` are those that the walk went through, which are all that the answer shows: what is
    read of them later, or of an entity that the walk found missing, belongs to other edges.
    """

    shows_edges = True
    shows_temporal = True

    def __init__(self, root: int, *, depth: int, budget: int) -> None:
        self.root = root
        self._depth = depth
        self._budget = budget
        self._seen = {root}
        self.order = [root]  # every entity that the answer shows, in the order of the walk
        self.fragments: dict[int, Fragment] = {}
        self.level_ends: list[int] = []  # how many of them each level and those above it have
        self._children: dict[int, list[_Child]] = {}
        self._cut: set[int] = set()
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

    def advance(self, fragments: Mapping[int, Fragment]) -> None:
        """Go from this level to the next; every id of `frontier` that exists is in `fragments`."""
        following: list[int] = []
        met = [fragment for fragment in map(fragments.get, self.frontier) if fragment is not None]
        self.fragments.update([(fragment.id, fragment) for fragment in met])
        inner = [fragment for fragment in met if fragment.edges]
        if not inner:
            self.is_complete, self.deepest = True, self.level
        elif self.level < self._depth:
            for fragment in inner:
                self._expand(fragment, following)
            if not following:
                self.is_complete, self.deepest = True, self.level + 1
        self.level += 1
        self.level_ends.append(len(self.order))
        self.order += following
        self.frontier = following

    def _expand(self, fragment: Fragment, following: list[int]) -> None:
        seen, budget = self._seen, self._budget
        children = self._children[fragment.id] = []
        if fragment.edges_total > len(fragment.edges):
            self._cut.add(fragment.id)
        for opening, target in fragment.edges:
            if target in seen:
                children.append((opening, target, False))
            elif len(seen) < budget:
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
                if child is None:  # an edge to an entity that is gone
                    continue
                parts.append(separator + opening)
                if expanded:
                    self._add(child, written)
                else:
                    parts.append(child.stub)
                separator = b"},"
            closing = b"}]" if separator else b"]"
            if fragment.id in self._cut:
                closing += b',"truncated":{"edges_total":%d}' % fragment.edges_total
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
