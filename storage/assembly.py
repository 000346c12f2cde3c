"""Puts a tree together from fragments, breadth first, by joining bytes.

An entity is expanded once, at its shallowest place; where it occurs again its stub stands. So cycles end, and a
dense graph costs its nodes and edges, not its paths.
"""

from bisect import bisect_left
from collections.abc import Mapping
from datetime import datetime

from app.dates import to_text
from storage.fragments import Fragment

_Child = tuple[bytes, int, bool]  # opening bytes, target, expanded here


class Tree:
    """The walk of one root, a level at a time, so that what a level needs can be fetched at once.

    `budget` bounds the entities that are expanded; where it cuts, the answer says so.
    """

    def __init__(self, root: int, *, depth: int, budget: int) -> None:
        self.root = root
        self._depth = depth
        self._budget = budget
        self._seen = {root}
        self.order = [root]  # every entity that the answer shows, in the order of the walk
        self._children: dict[int, list[_Child]] = {}
        self._cut: set[int] = set()
        self.level = 0
        self.frontier = [root]

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
        if self.level < self._depth:
            for node in self.frontier:
                fragment = fragments.get(node)
                if fragment is not None:
                    self._expand(fragment, following)
        self.level += 1
        self.order += following
        self.frontier = following

    def _expand(self, fragment: Fragment, following: list[int]) -> None:
        if not fragment.edges:
            return
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

    def render(self, fragments: Mapping[int, Fragment], since: datetime | None) -> bytes | None:
        """The JSON object, or None where the root does not exist."""
        if self.root not in fragments:
            return None
        parts: list[bytes] = []
        self._render(self.root, fragments, None if since is None else to_text(since), parts)
        return b"".join(parts)

    def _render(
        self, node: int, fragments: Mapping[int, Fragment], since: str | None, parts: list[bytes]
    ) -> None:
        # As deep as the tree, which is ten levels at most.
        fragment = fragments[node]
        parts.append(fragment.head)
        children = self._children.get(node)
        if children:
            separator = b""
            for opening, target, expanded in children:
                child = fragments.get(target)
                if child is None:  # an edge to an entity that is gone
                    continue
                parts.append(separator + opening)
                if expanded:
                    self._render(target, fragments, since, parts)
                else:
                    parts.append(child.stub)
                parts.append(b"}")
                separator = b","
        if node in self._cut:
            parts.append(b'],"truncated":{"edges_total":%d}' % fragment.edges_total)
        else:
            parts.append(b"]")
        parts.append(b',"temporal_data":')
        parts.append(temporal_data(fragment, since) if fragment.temporal else b"null")
        parts.append(b"}")


def temporal_data(fragment: Fragment, since: str | None) -> bytes:
    """`{key: [points]}` of reference dates from `since` on, or `null` where there is none."""
    kept = []
    for series in fragment.temporal:
        first = 0 if since is None else bisect_left(series.dates, since)
        if first == 0:
            kept.append(series.opening + series.joined)
        elif first < len(series.dates):
            kept.append(series.opening + b",".join(series.points[first:]))
    return b"{" + b"],".join(kept) + b"]}" if kept else b"null"
