"""Which checkpoint a job goes on from.

The newest, as a rule. It holds transactions that were to be committed next: where the cluster was away for so long
that the broker has aborted them, Flink's sink logs that and goes on, and what they held would be lost. A start after
such an outage goes back to a checkpoint before, whose transactions are committed, and reads the events since once
more. What it writes twice wins or loses by date and version.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

# A job commits what a checkpoint holds before it completes the next but one: two back is far enough.
_BACK: Final = 2
_TIMEOUT: Final = re.compile(r"'properties\.transaction\.timeout\.ms' = '(\d+)'")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """One complete checkpoint or savepoint; seconds since 1970."""

    path: str
    completed_at: float

    @property
    def is_savepoint(self) -> bool:
        """Taken by a stop of the job, which commits all that it has written."""
        return "/savepoints/" in self.path


def transaction_timeout_s(sql: str) -> float:
    """How long the broker keeps a transaction of these sinks open for them; infinite without any."""
    return min((int(found) / 1000 for found in _TIMEOUT.findall(sql)), default=float("inf"))


def outlived(kept: Sequence[Checkpoint], *, timeout_s: float, now: float) -> bool:
    """Whether the broker may have aborted what the newest of these checkpoints was to commit.

    From half of the timeout on: it counts from the first record of a transaction, and the start takes its time.
    """
    return bool(kept) and not kept[0].is_savepoint and now - kept[0].completed_at > timeout_s / 2


def resume_point(kept: Sequence[Checkpoint], *, timeout_s: float, now: float) -> str | None:
    """The path of the checkpoint to go on from, of these, newest first; None to begin with empty state."""
    if not outlived(kept, timeout_s=timeout_s, now=now):
        return kept[0].path if kept else None
    # A job that was killed before its second checkpoint has nothing that is worth going back to.
    return kept[min(_BACK, len(kept) - 1)].path if len(kept) > 1 else None
