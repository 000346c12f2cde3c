"""How long a topic may hold a record, by what it is set to: for the receipt of an erasure, and for `doctor`."""

from collections.abc import Mapping
from typing import Final

_DAY_MS: Final = 24 * 60 * 60 * 1000
_SEGMENT_MS: Final = 7 * _DAY_MS  # the broker's default
NEVER_MS: Final = 100 * 366 * _DAY_MS  # what is kept for a century has no end; Kafka's "never" is 2^63 - 1

READ_FROM: Final = (
    "cleanup.policy",
    "retention.ms",
    "segment.ms",
    "max.compaction.lag.ms",
    "message.timestamp.type",
    "message.timestamp.after.max.ms",
)


def longest_ms(
    config: Mapping[str, str], *, removed_by_key: bool = False, stamped_by_others: bool = False
) -> int | None:
    """For how long at most, from the moment at which the record was written; None: without end.

    `removed_by_key`: an erasure has put an end under the record's key, so that a compaction removes it, too.
    `stamped_by_others`: without LogAppendTime the record may be stamped ahead, as far as the topic takes it.
    Kafka deletes or compacts whole segments, so the time of one is added.
    """
    policies = {policy.strip() for policy in config.get("cleanup.policy", "delete").split(",")}
    limits = []
    if "delete" in policies:
        kept = _limit(config.get("retention.ms", "-1"))
        if kept is not None and stamped_by_others and config.get("message.timestamp.type") != "LogAppendTime":
            ahead = _limit(config.get("message.timestamp.after.max.ms", "-1"))
            kept = None if ahead is None else kept + ahead
        limits.append(kept)
    if "compact" in policies and removed_by_key:
        limits.append(_limit(config.get("max.compaction.lag.ms", "-1")))
    segment = _limit(config.get("segment.ms", str(_SEGMENT_MS)))
    known = [limit for limit in limits if limit is not None]
    return None if segment is None or not known else min(known) + segment


def _limit(text: str) -> int | None:
    """Milliseconds; None for those that never end."""
    limit = int(text)
    return limit if 0 <= limit < NEVER_MS else None
