"""Whole answers, kept with the fragments that they were put together from.

An answer holds as long as each of its fragments is still the one in memory, so it needs no invalidation of its own.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from cachebox import LRUCache

from storage.fragments import Fragment
from storage.notifications import Memory

_OVERHEAD_BYTES: Final = 500


class AnswerKey(NamedTuple):
    """What was asked: trees of these roots; `more`: a page that another one follows, which its headers say."""

    roots: tuple[int, ...]
    depth: int
    since: datetime | None
    more: bool = False


class KeptAnswer(NamedTuple):
    """Bodies of the trees, in order, their tag and the fragments."""

    trees: list[bytes]
    etag: str
    upper: int
    read_at: float
    fragments: list[Fragment]


class AnswerCache:
    """Least recently used, bounded by bytes."""

    def __init__(self, memory: Memory, *, max_bytes: int) -> None:
        self._memory = memory
        self._kept: LRUCache[AnswerKey, KeptAnswer] = LRUCache(max_bytes, getsizeof=_size)
        self._max_entry = max_bytes // 8

    def get(self, key: AnswerKey, token: int) -> KeptAnswer | None:
        """An answer that still holds and whose parts have all reached the token."""
        kept: KeptAnswer | None = self._kept.get(key)
        if kept is None:
            return None
        recall = self._memory.get
        for fragment in kept.fragments:
            if recall(fragment.id) is not fragment or fragment.position < token:
                return None
        return kept

    def put(self, key: AnswerKey, trees: Sequence[bytes], etag: str, fragments: list[Fragment]) -> None:
        """Keep an answer that is worth it."""
        kept = KeptAnswer(
            list(trees),
            etag,
            max(fragment.upper for fragment in fragments),
            min(fragment.read_at for fragment in fragments),
            fragments,
        )
        if _size(key, kept) <= self._max_entry:
            self._kept[key] = kept


def _size(_: AnswerKey, kept: KeptAnswer) -> int:
    return _OVERHEAD_BYTES + sum(map(len, kept.trees)) + 8 * len(kept.fragments)
