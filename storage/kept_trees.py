"""Trees of this process's memory, kept as they were walked and as they were answered.

A skeleton is a walked tree whose temporal data is still to be chosen; it serves each period, and each depth that would
reach nothing more. It holds as long as each of its fragments is still the one in memory, so it needs no invalidation of
its own. Periods that select the same rows share an answer and its tag.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from datetime import datetime
from hashlib import blake2b
from itertools import islice
from typing import Final

from cachebox import LRUCache

from app.clock import Clock
from app.ports import Answer
from storage.assembly import Tree, merged, temporal_data
from storage.fragments import Fragment
from storage.keyspace import FORMAT_VERSION
from storage.memory_cache import AGING_S
from storage.notifications import Memory
from storage.series import Ranked, ranked

_OVERHEAD_BYTES: Final = 600
_ANY_DEPTH: Final = 0
_MOMENT_S: Final = 1.0
_LOOK_AGAIN_S: Final = 1.0
_WITH_GZIP: Final = 1.25  # whoever serves an answer keeps its compressed form with it


class Skeleton:
    """One root's tree; all that is told of an answer but its period.

    `items` are its fragments by id, `position` is one that all have reached, `upper` and `read_at` are the answer's.
    """

    __slots__ = (
        "_asked",
        "_asked_since",
        "_dates",
        "_end",
        "_level_ends",
        "_parts",
        "_ranked",
        "_tag",
        "check_at",
        "deepest",
        "items",
        "position",
        "read_at",
        "root",
        "seen_change",
        "upper",
    )

    def __init__(self, tree: Tree, fragments: Mapping[int, Fragment], *, depth: int) -> None:
        """Of a walk of `depth` levels that is done and whose root exists."""
        self.root = tree.root
        self.deepest = tree.deepest if tree.is_complete else None
        self._level_ends = tuple(tree.level_ends)
        shown = [fragments[node] for node in tree.order if node in fragments]
        self.items = tuple([(fragment.id, fragment) for fragment in shown])
        self.position = min([fragment.position for fragment in shown])
        self.upper = max([fragment.upper for fragment in shown])
        self.read_at = min([fragment.read_at for fragment in shown])
        # Tuples, which the garbage collector lets go of, as it does of fragments.
        self._parts, self._end = merged(*tree.parts(fragments))
        # All of the tree, and where they stand, once a period was asked for.
        self._dates: tuple[datetime, ...] | None = None
        self._ranked: tuple[tuple[bytes, tuple[Ranked, ...]], ...] = ()
        asked = f"{FORMAT_VERSION} {depth if self.deepest is None else self.deepest}"
        digests = [fragments[node].digest if node in fragments else b"-" for node in tree.order]
        self._tag = blake2b(asked.encode() + b"".join(digests), digest_size=10).hexdigest()
        self.seen_change = -1  # of the memory, when all fragments were last found there
        self._asked = 0  # bits: the rows from which on an answer was made within this second
        self._asked_since = 0.0
        self.check_at = 0.0  # when to look again, in the clock's seconds, also where nothing changed

    @property
    def size_bytes(self) -> int:
        """About what it takes in memory beyond its fragments."""
        counts = [len(series) for _, fragment in self._parts for series in fragment.temporal]
        pieces = sum([len(before) for before, _ in self._parts]) + len(self._end)
        return _OVERHEAD_BYTES + pieces + 120 * len(self._parts) + 250 * len(counts) + 10 * sum(counts)

    def within(self, depth: int) -> list[int]:
        """About what a walk of so many levels meets: more, where the tree shows edges to what is gone."""
        end = self._level_ends[min(depth, len(self._level_ends) - 1)]
        return [entity_id for entity_id, _ in self.items[:end]]

    def first_row(self, since: datetime | None) -> int:
        """How many of the tree's dates lie before; periods of the same number select the same rows."""
        if since is None:
            return 0
        if self._dates is None:
            self._rank()
        return bisect_left(self._dates or (), since)

    def _rank(self) -> None:
        dates, all_series = ranked([series for _, fragment in self._parts for series in fragment.temporal])
        following = iter(all_series)
        self._dates = tuple([datetime.fromisoformat(date.decode()) for date in dates])
        self._ranked = tuple(
            [(before, tuple(islice(following, len(fragment.temporal)))) for before, fragment in self._parts]
        )

    def asked_before(self, first_row: int, now: float) -> bool:
        """Whether it was asked for a moment ago: what is asked for once in a while is not worth a place in memory."""
        if now - self._asked_since > _MOMENT_S:
            self._asked_since, self._asked = now, 0
        bit = 1 << first_row
        before = bool(self._asked & bit)
        self._asked |= bit
        return before

    def etag(self, first_row: int) -> str:
        """Of the content and what was asked: the same on every worker, and after a refill."""
        return f"{self._tag}-{first_row}"

    def body(self, first_row: int) -> bytes:
        """The JSON object, as far as `first_row` selects."""
        pieces: list[bytes] = []
        append = pieces.append
        if not first_row:
            for before, fragment in self._parts:
                append(before)
                append(temporal_data(fragment, None))
        # As `temporal_data`, for many periods: this is what a read from memory does most of the time.
        for before, series in self._ranked if first_row else ():
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
        append(self._end)
        return b"".join(pieces)


class _KeptAnswer:
    __slots__ = ("answer", "skeleton")

    def __init__(self, skeleton: Skeleton, answer: Answer) -> None:
        self.skeleton = skeleton
        self.answer = answer


class KeptTrees:
    """Skeletons and answers, least recently used, bounded by bytes."""

    def __init__(self, memory: Memory, clock: Clock, *, max_bytes: int) -> None:
        self._memory = memory
        self._now = clock.monotonic
        self._max_entry = max_bytes // 8
        self._skeletons: LRUCache[tuple[int, int], Skeleton] = LRUCache(
            max_bytes * 3 // 4, getsizeof=lambda _, skeleton: skeleton.size_bytes
        )
        self._answers: LRUCache[tuple[int, int | None, int], _KeptAnswer] = LRUCache(
            max_bytes // 4, getsizeof=_size_of_answer
        )

    def skeleton(self, root: int, depth: int, token: int) -> Skeleton | None:
        """One that still holds and whose parts have all reached the token."""
        whole: Skeleton | None = self._skeletons.get((root, _ANY_DEPTH))
        is_enough = whole is not None and whole.deepest is not None and whole.deepest <= depth
        found: Skeleton | None = whole if is_enough else self._skeletons.get((root, depth))
        if found is None or found.position < token:
            return None
        memory = self._memory
        now = self._now()
        if found.seen_change != memory.change or now > found.check_at:
            seen = memory.change
            held_until = memory.held_until(found.items)
            if not held_until:
                return None
            # In time for what ages to be read anew, and then not with each request.
            found.check_at = min(held_until, max(held_until - AGING_S, now + _LOOK_AGAIN_S))
            found.seen_change = seen
        return found

    def walked(self, root: int, depth: int) -> Iterable[int]:
        """What an earlier walk of this root met within so many levels, whether or not it still holds."""
        found: Skeleton | None = self._skeletons.get((root, _ANY_DEPTH)) or self._skeletons.get((root, depth))
        return () if found is None else found.within(depth)

    def keep(self, skeleton: Skeleton, depth: int) -> None:
        """Keep a walk of this depth."""
        if skeleton.size_bytes <= self._max_entry:
            self._skeletons[skeleton.root, depth if skeleton.deepest is None else _ANY_DEPTH] = skeleton

    def answer(self, skeleton: Skeleton, depth: int, since: datetime | None) -> Answer:
        """The answer that it gives to this period, made or kept."""
        first_row = skeleton.first_row(since)
        key = (skeleton.root, depth if skeleton.deepest is None else None, first_row)
        kept: _KeptAnswer | None = self._answers.get(key)
        if kept is not None and kept.skeleton is skeleton:
            return kept.answer
        answer = Answer(
            body=skeleton.body(first_row),
            cache="hit",
            etag=skeleton.etag(first_row),
            upper=skeleton.upper,
            read_at=skeleton.read_at,
        )
        if skeleton.asked_before(first_row, self._now()):
            kept = _KeptAnswer(skeleton, answer)
            if _size_of_answer(key, kept) <= self._max_entry:
                self._answers[key] = kept
        return answer


def _size_of_answer(_: object, kept: _KeptAnswer) -> int:
    return _OVERHEAD_BYTES + int(_WITH_GZIP * len(kept.answer.body or b""))
