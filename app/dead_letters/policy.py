"""How many dead letters are the records' fault, and when it must be ours.

A record now and then is bad; when most are, a deploy or a producer is, and draining the topic into dead letters
would only hide it. The policy follows arroyo's: a bound on the ratio and on the run length.
"""

from collections import deque

from app.core.errors import FatalError


class DeadLetterPolicy:
    """Judges the latest `min_records` records. Keeps counts of windows, not records."""

    def __init__(self, *, max_ratio: float, min_records: int, max_run: int) -> None:
        self._max_ratio = max_ratio
        self._min_records = min_records
        self._max_run = max_run
        self._windows: deque[tuple[int, int]] = deque()
        self._records = self._dead = self._run = 0

    def judge(self, outcomes: list[bool], *, example: str = "see the dead-letter topic.") -> None:
        """Count one window's records in order (True: dead). Raises FatalError where a bound is passed.

        `example` is the reason of one of the dead letters.
        """
        for dead in outcomes:
            self._run = self._run + 1 if dead else 0
            if self._run >= self._max_run:
                raise self._stop(f"{self._run} records in a row", example)
        dead_here = sum(outcomes)
        self._windows.append((len(outcomes), dead_here))
        self._records += len(outcomes)
        self._dead += dead_here
        while self._records - self._windows[0][0] >= self._min_records:
            records, gone = self._windows.popleft()
            self._records -= records
            self._dead -= gone
        if self._records >= self._min_records and self._dead > self._max_ratio * self._records:
            raise self._stop(f"{self._dead} of the last {self._records} records", example)

    @staticmethod
    def _stop(what: str, example: str) -> FatalError:
        return FatalError(
            f"{what} could not be processed, such as: {example} This looks like a wrong producer or deploy rather "
            "than bad records. Their offsets are not committed: mend it and start again, or raise "
            "PROFILE_DEAD_LETTER_MAX_RATIO and PROFILE_DEAD_LETTER_MAX_RUN to drain them."
        )
