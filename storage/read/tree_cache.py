"""Trees of this process's memory, kept as they were walked and as they were answered.

A skeleton holds as long as none of its entities was notified or read anew, and each of its fragments is young enough,
so it needs no invalidation of its own; where others are there that lead nowhere else, it is renewed. Periods that
select the same rows share an answer and its tag.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from cachebox import LRUCache

from app.core.clock import Clock
from app.core.consistency_token import position_of
from app.ports.graph import Answer
from storage.cache.fragments import Fragment
from storage.cache.memory import Memory
from storage.read.rendered_tree import Skeleton
from storage.read.selected_cache import WITH_GZIP, SelectedAnswers

_OVERHEAD_BYTES: Final = 600
_ANY_DEPTH: Final = 0
_SWEPT_AT_ONCE: Final = 20


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
        # Of fragments of before that trees may hold on to, at about the most.
        self._max_gone = max_bytes // 2
        self._gone_when_swept = 0
        self._to_sweep: list[tuple[int, int]] = []
        self._skeletons: LRUCache[tuple[int, int], Skeleton] = LRUCache(
            max_bytes * 5 // 8, getsizeof=lambda _, skeleton: skeleton.size_bytes
        )
        self._answers: LRUCache[tuple[int, int | None, int], _KeptAnswer] = LRUCache(
            max_bytes // 4, getsizeof=_size_of_answer
        )
        self.selected = SelectedAnswers(memory, clock, max_bytes=max_bytes // 8)

    def skeleton(self, root: int, depth: int, token: int) -> Skeleton | None:
        """One that still holds and whose parts have all reached the token."""
        whole: Skeleton | None = self._skeletons.get((root, _ANY_DEPTH))
        is_enough = whole is not None and whole.deepest is not None and whole.deepest <= depth
        found: Skeleton | None = whole if is_enough else self._skeletons.get((root, depth))
        if found is None:
            return None
        now = self._now()
        if not found.held.hold(self._memory, now):
            found = self._renewed(found, depth)
            if found is None or not found.held.hold(self._memory, now):
                return None
        return found if found.position >= position_of(token) else None

    def _renewed(self, skeleton: Skeleton, depth: int) -> Skeleton | None:
        """The same of what is in memory now; None where something is not, or leads elsewhere."""
        fragments = []
        for entity_id, _ in skeleton.items:
            fragment = self._memory.get(entity_id)
            if not isinstance(fragment, Fragment):
                return None
            fragments.append(fragment)
        renewed = skeleton.renewed(fragments)
        if renewed is not None:
            self.keep(renewed, depth)
        return renewed

    def walked(self, root: int, depth: int) -> Iterable[int]:
        """What an earlier walk of this root met within so many levels, whether or not it still holds."""
        found: Skeleton | None = self._skeletons.get((root, _ANY_DEPTH)) or self._skeletons.get((root, depth))
        return () if found is None else found.within(depth)

    def keep(self, skeleton: Skeleton, depth: int) -> None:
        """Keep a walk of this depth that met all that its edges lead to.

        Nobody would tell of what it lacks: an entity that a replica had not heard of yet is told of as a change of its
        own, and not of those that lead to it.
        """
        if skeleton.is_whole and skeleton.size_bytes <= self._max_entry:
            self._skeletons[skeleton.root, depth if skeleton.deepest is None else _ANY_DEPTH] = skeleton
            self._sweep()

    def held(self) -> list[tuple[Skeleton, int]]:
        """Those that would answer now, and the depth of each; without a trace in what was used last."""
        found = []
        for root, depth in list(self._skeletons.keys()):
            skeleton: Skeleton | None = self._skeletons.peek((root, depth))
            if skeleton is not None and self._memory.holds(skeleton.items):
                found.append((skeleton, depth if skeleton.deepest is None else skeleton.deepest))
        return found

    def _sweep(self) -> None:
        """Let go, a few at a time, of trees that no longer hold, once they may hold many fragments of before."""
        if not self._to_sweep:
            gone = self._memory.gone_bytes
            if gone - self._gone_when_swept < self._max_gone:
                return
            self._gone_when_swept = gone
            self._to_sweep = list(self._skeletons.keys())
        for place in self._to_sweep[-_SWEPT_AT_ONCE:]:
            skeleton: Skeleton | None = self._skeletons.peek(place)
            if skeleton is not None and not self._memory.holds(skeleton.items):
                self._skeletons.pop(place, None)
        del self._to_sweep[-_SWEPT_AT_ONCE:]
        if not self._to_sweep:
            for key, kept in list(self._answers.items()):
                root, depth, _ = key
                if self._skeletons.peek((root, depth or _ANY_DEPTH)) is not kept.skeleton:
                    self._answers.pop(key, None)

    def answer(self, skeleton: Skeleton, depth: int, since: datetime | None) -> Answer:
        """The answer that it gives to this period, made or kept."""
        first_row = skeleton.first_row(since)
        kept = self.kept_answer(skeleton, depth, first_row)
        if kept is not None:
            return kept
        return self.new_answer(skeleton, depth, first_row, skeleton.body(first_row))

    def kept_answer(self, skeleton: Skeleton, depth: int, first_row: int) -> Answer | None:
        """The answer from this row on, if it is kept."""
        kept: _KeptAnswer | None = self._answers.get(_place(skeleton, depth, first_row))
        return kept.answer if kept is not None and kept.skeleton is skeleton else None

    def new_answer(self, skeleton: Skeleton, depth: int, first_row: int, body: bytes) -> Answer:
        """Of this body, which is the skeleton's; kept where it was asked for a moment ago."""
        answer = Answer(
            body=body,
            cache="hit",
            etag=skeleton.etag(first_row),
            upper=skeleton.upper,
            read_at=skeleton.read_at,
        )
        if skeleton.asked_before(first_row, self._now()):
            key, kept = _place(skeleton, depth, first_row), _KeptAnswer(skeleton, answer)
            if _size_of_answer(key, kept) <= self._max_entry:
                self._answers[key] = kept
        return answer


def _place(skeleton: Skeleton, depth: int, first_row: int) -> tuple[int, int | None, int]:
    return skeleton.root, depth if skeleton.deepest is None else None, first_row


def _size_of_answer(_: object, kept: _KeptAnswer) -> int:
    return _OVERHEAD_BYTES + int(WITH_GZIP * len(kept.answer.body or b""))
