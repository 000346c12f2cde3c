"""How far a snapshot of the primary has certainly come, in positions of the WAL.

A commit is flushed, and shown by replicas that replay it, before the primary shows it; where it waits for a synchronous
standby, for as long as that takes. So the flush position says too much. What counts is which transactions ran when the
snapshot was taken: of these any may have been flushed. A transaction that had not begun when the primary was at some
position commits behind it. So a snapshot has reached each position that was read before the oldest of its running
transactions began, and its own where none runs. Which those are the reads themselves tell: no question is asked for it.
"""

from collections import deque
from typing import Final

from storage.postgres.positioned import Moment

_MOST: Final = (
    1_000  # moments; beyond, every second one is forgotten, which makes positions lower and never wrong
)


class Visibility:
    """What reads of one primary have shown of its transactions."""

    def __init__(self) -> None:
        self._moments: deque[tuple[int, int]] = (
            deque()
        )  # position, first transaction that had not begun; both grow

    def forget(self) -> None:
        """The primary is another one."""
        self._moments.clear()

    def reached(self, moment: Moment) -> int:
        """A position up to which a snapshot of this moment, or a later one, holds every commit; 0: none is known."""
        position, oldest, newest = moment
        moments = self._moments
        if not moments or (position > moments[-1][0] and newest >= moments[-1][1]):
            moments.append((position, newest))
        elif position == moments[-1][0] and newest < moments[-1][1]:
            moments[-1] = (position, newest)
        # Transactions that ran at the time of a late answer may be older than what is kept: then 0 is the answer.
        best = max([at for at, begun in moments if begun <= oldest], default=0)
        if newest <= oldest:
            best = max(best, position)
        self._prune(oldest)
        return best

    def _prune(self, oldest: int) -> None:
        """Leave one moment that is before all that runs, and those behind it."""
        moments = self._moments
        while len(moments) > 1 and moments[1][1] <= oldest:
            moments.popleft()
        if len(moments) > _MOST:
            kept = list(moments)
            self._moments = deque([*kept[:-1:2], kept[-1]])
