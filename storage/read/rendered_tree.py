"""A walked tree whose temporal data is still to be chosen.

It serves each period, and each depth that would reach nothing more. What changes most in a graph are properties and
points: then it is made anew with the new ones in place of the old, without another walk.
"""

from bisect import bisect_left
from collections.abc import Sequence
from datetime import datetime
from hashlib import blake2b
from itertools import islice
from typing import Final, NamedTuple, Self

from app.core.consistency_token import latest
from storage.cache.fragments import Fragment
from storage.cache.keyspace import FORMAT_VERSION
from storage.cache.series import Ranked, ranked
from storage.read.budget import Budget, Cost, is_large, weight_of
from storage.read.held_fragments import HeldFragments
from storage.read.tree import Tree, Written, temporal_data

_OVERHEAD_BYTES: Final = 800
_MOMENT_S: Final = 1.0
_MOST_NOTED: Final = 256  # rows: as many periods are asked for in turn by one who means no good
_MOST_RENEWED: Final = 8  # entities: each moves those behind it

_Items = tuple[tuple[int, Fragment], ...]
_Place = tuple[int, int]  # a piece, and where in it


class _Shape(NamedTuple):
    """What stays while no entity leads elsewhere; `deepest`, `level_ends` and `budget` are the walk's."""

    root: int
    deepest: int | None
    level_ends: tuple[int, ...]
    asked: bytes
    is_whole: bool
    budget: Budget


class Skeleton:
    """One root's tree; all that is told of an answer but its period.

    `cost` is what it shows; where it `is_large`, to put it together would hold the event loop for too long. `items` are
    its fragments by id, `position` is one that all have reached, `upper` and `read_at` are the answer's; `size_bytes`
    is about what it takes in memory beyond its fragments.
    """

    __slots__ = (
        "_asked",
        "_asked_since",
        "_dates",
        "_pieces",
        "_places",
        "_ranked",
        "_shape",
        "_slots",
        "_tag",
        "cost",
        "held",
        "is_large",
        "position",
        "read_at",
        "size_bytes",
        "upper",
    )

    def __init__(
        self,
        shape: _Shape,
        items: _Items,
        pieces: tuple[bytes, ...],
        slots: tuple[Fragment, ...],
        places: tuple[_Place, ...],
        *,
        digests: bytes,
        size_bytes: int,
        cost: Cost,
    ) -> None:
        # Tuples, which the garbage collector lets go of, as it does of fragments.
        self._shape = shape
        self._pieces = pieces  # what stands before the data of each slot, and after the last
        self._slots = slots
        self._places = places  # of the items' heads
        self.size_bytes = size_bytes
        self.cost = cost
        self.is_large = is_large(cost)
        self.position = min([fragment.position for _, fragment in items])
        self.upper = latest([fragment.upper for _, fragment in items])
        self.read_at = min([fragment.read_at for _, fragment in items])
        self._tag = blake2b(shape.asked + digests, digest_size=10).hexdigest()
        # All dates, and where they stand, once a period was asked for.
        self._dates: tuple[datetime, ...] | None = None
        self._ranked: tuple[tuple[Ranked, ...], ...] = ()
        self.held = HeldFragments(items)
        self._asked: set[int] = set()  # the rows from which on an answer was made within this second
        self._asked_since = 0.0

    @classmethod
    def of(cls, tree: Tree, *, depth: int) -> Self:
        """Of a walk of `depth` levels that is done and whose root exists."""
        deepest = tree.deepest if tree.is_complete else None
        fragments = tree.fragments
        items = tuple([(node, fragments[node]) for node in tree.order if node in fragments])
        written = tree.written()
        pieces, places = _merged(written)
        slots = [fragment for _, fragment in written.slots]
        return cls(
            _Shape(
                root=tree.root,
                deepest=deepest,
                level_ends=tuple(tree.level_ends),
                asked=b"%d %d" % (FORMAT_VERSION, depth if deepest is None else deepest),
                # What is full depends on what is left out as well.
                is_whole=len(items) == len(tree.order) and not tree.is_full,
                budget=tree.budget,
            ),
            items,
            tuple(pieces),
            tuple(slots),
            tuple([places[node] for node, _ in items]),
            digests=b"".join([fragments[node].digest if node in fragments else b"-" for node in tree.order]),
            size_bytes=_OVERHEAD_BYTES
            + sum(map(len, pieces))
            + 50 * len(pieces)
            + 80 * len(items)
            + sum(map(_bytes_of_points, slots)),
            cost=tree.cost,
        )

    def renewed(self, fragments: Sequence[Fragment]) -> Self | None:
        """The tree of these, which stand for the items in their order.

        None where one leads elsewhere than before, or where so many changed that a walk is quicker.
        """
        if (
            not self.is_whole
            or sum([new is not old for (_, old), new in zip(self.items, fragments, strict=True)])
            > _MOST_RENEWED
        ):
            return None
        pieces, places, size_bytes = list(self._pieces), list(self._places), self.size_bytes
        shown, points = self.cost.size_bytes, self.cost.points
        has_same_points = True
        for number, ((_, old), new) in enumerate(zip(self.items, fragments, strict=True)):
            if new is old:
                continue
            if not _leads_as(new, old):
                return None
            (points_now, bytes_now), (points_then, bytes_then) = weight_of(new), weight_of(old)
            shown += bytes_now - bytes_then
            points += points_now - points_then
            if new.temporal != old.temporal:
                has_same_points = False
                size_bytes += _bytes_of_points(new) - _bytes_of_points(old)
            piece, start = places[number]
            told = pieces[piece]
            pieces[piece] = told[:start] + new.head + told[start + len(old.head) :]
            if grown := len(new.head) - len(old.head):
                size_bytes += grown
                places = [
                    (other, at + grown) if other == piece and at > start else (other, at)
                    for other, at in places
                ]
        cost = self.cost._replace(size_bytes=shown, points=points)
        if not self._shape.budget.holds(cost):
            return None
        by_id = {fragment.id: fragment for fragment in fragments}
        made = type(self)(
            self._shape,
            tuple([(fragment.id, fragment) for fragment in fragments]),
            tuple(pieces),
            tuple([by_id[fragment.id] for fragment in self._slots]),
            tuple(places),
            digests=b"".join([fragment.digest for fragment in fragments]),
            size_bytes=size_bytes,
            cost=cost,
        )
        if has_same_points:
            made._dates, made._ranked = self._dates, self._ranked  # noqa: SLF001 - its own
        return made

    @property
    def items(self) -> _Items:
        """The fragments by id, in the order of the walk."""
        return self.held.items

    @property
    def is_whole(self) -> bool:
        """Whether each entity is there that its edges lead to."""
        return self._shape.is_whole

    @property
    def is_unranked(self) -> bool:
        """Whether the first question for a period is yet to come, which takes as long as there are points."""
        return self._dates is None

    @property
    def root(self) -> int:
        return self._shape.root

    @property
    def deepest(self) -> int | None:
        """The least depth that gives all that can be reached; None where it is cut."""
        return self._shape.deepest

    def within(self, depth: int) -> list[int]:
        """About what a walk of so many levels meets: more, where the tree shows edges to what is gone."""
        ends = self._shape.level_ends
        return [entity_id for entity_id, _ in self.items[: ends[min(depth, len(ends) - 1)]]]

    def first_row(self, since: datetime | None) -> int:
        """How many of the tree's dates lie before; periods of the same number select the same rows."""
        if since is None:
            return 0
        if self._dates is None:
            self._rank()
        return bisect_left(self._dates or (), since)

    def _rank(self) -> None:
        dates, all_series = ranked([series for fragment in self._slots for series in fragment.temporal])
        following = iter(all_series)
        self._dates = tuple([datetime.fromisoformat(date.decode()) for date in dates])
        self._ranked = tuple([tuple(islice(following, len(fragment.temporal))) for fragment in self._slots])

    def asked_before(self, first_row: int, now: float) -> bool:
        """Whether it was asked for a moment ago: what is asked for once in a while is not worth a place in memory."""
        if now - self._asked_since > _MOMENT_S or len(self._asked) > _MOST_NOTED:
            self._asked_since, self._asked = now, set()
        before = first_row in self._asked
        self._asked.add(first_row)
        return before

    def etag(self, first_row: int) -> str:
        """Of the content and what was asked: the same on every worker, and after a refill."""
        return f"{self._tag}-{first_row}"

    def body(self, first_row: int) -> bytes:
        """The JSON object, as far as `first_row` selects."""
        parts: list[bytes] = []
        append = parts.append
        pieces = iter(self._pieces)
        if not first_row:
            for fragment, before in zip(self._slots, pieces, strict=False):
                append(before)
                append(temporal_data(fragment, None))
        # As `temporal_data`, for many periods: this is what a read from memory does most of the time.
        for series, before in zip(self._ranked if first_row else (), pieces, strict=False):
            append(before)
            separator = b"{"
            for opening, joined, ends, ranks in series:
                first = bisect_left(ranks, first_row)
                if first < len(ranks):
                    append(separator)
                    append(opening)
                    append(joined[ends[first - 1] + 1 :] if first else joined)
                    separator = b"],"
            append(b"null" if separator == b"{" else b"]}")
        parts.extend(pieces)
        return b"".join(parts)


def _leads_as(new: Fragment, old: Fragment) -> bool:
    """Whether what is told of an entity may have changed, and nothing of where a walk goes from it."""
    return (
        new.edges == old.edges
        and new.edges_total == old.edges_total
        and new.stub == old.stub
        and bool(new.temporal) == bool(old.temporal)
        and new.points_total == old.points_total
    )


def _bytes_of_points(fragment: Fragment) -> int:
    """Of their numbers and dates; the points are the fragment's."""
    return sum([250 + 3 * len(series.ends) for series in fragment.temporal])


def _merged(written: Written) -> tuple[list[bytes], dict[int, _Place]]:
    """The parts in as few pieces as there can be, without the slots between them, and where each entity's head is."""
    parts, slots, heads = written
    pieces: list[bytes] = []
    places: dict[int, _Place] = {}
    start, head = 0, iter(heads)
    index, node = next(head)
    for end in [*[place for place, _ in slots], len(parts)]:
        length = 0
        for number in range(start, end):
            if number == index:
                places[node] = (len(pieces), length)
                index, node = next(head, (-1, -1))
            length += len(parts[number])
        pieces.append(b"".join(parts[start:end]))
        start = end + 1
    return pieces, places
