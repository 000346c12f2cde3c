"""What one request may make of the graph: nodes, edges, points and bytes, over all its roots.

Each tree has the whole budget and says where it is cut. Several trees of one request have it together: a page ends
early and leads on to the next one, a batch is refused with the number of ids that fit. Both depend on what is stored
alone, and not on what a cache holds, so that the same question has the same answer everywhere.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from storage.cache.fragments import Fragment

_WITHOUT_LIMIT: Final = 1 << 62
_END_BYTES: Final = 4  # of each point, see storage.cache.series


class Cost(NamedTuple):
    """What a tree shows, or what several show together."""

    nodes: int = 0
    edges: int = 0
    points: int = 0
    size_bytes: int = 0

    def and_of(self, other: "Cost") -> "Cost":
        """Both together."""
        return Cost(*[one + another for one, another in zip(self, other, strict=True)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The most of each. `points_of_entity` are read of one entity, the latest ones."""

    nodes: int
    edges: int = _WITHOUT_LIMIT
    points: int = _WITHOUT_LIMIT
    size_bytes: int = _WITHOUT_LIMIT
    points_of_entity: int = 1 << 30

    def holds(self, cost: Cost) -> bool:
        return (
            cost.nodes <= self.nodes
            and cost.edges <= self.edges
            and cost.points <= self.points
            and cost.size_bytes <= self.size_bytes
        )

    def fitting(self, costs: Iterable[Cost]) -> int:
        """How many of the first of these fit together; at least one, where there is one."""
        together, count = Cost(), 0
        for cost in costs:
            together = together.and_of(cost)
            if count and not self.holds(together):
                break
            count += 1
        return count


# From here on work on a tree is done by a thread, which gives the event loop its turns.
LARGE: Final = Budget(nodes=1_000, edges=4_000, points=5_000, size_bytes=512 * 1024)
# Beyond this, work that is not large is one turn of the event loop.
SMALL: Final = Budget(nodes=100, edges=400, points=500, size_bytes=64 * 1024)


def is_large(cost: Cost) -> bool:
    """Whether to put such a tree together would hold the event loop for too long."""
    return not LARGE.holds(cost)


def weight_of(fragment: Fragment) -> tuple[int, int]:
    """How many points it has, and about how many bytes it adds to an answer, without its edges."""
    points, size = 0, len(fragment.head)
    for series in fragment.temporal:
        points += len(series.ends) // _END_BYTES
        size += len(series.joined)
    return points, size
