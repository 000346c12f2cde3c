"""What a consumer group committed, and the rate that it shows. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from load.errors import LoadError


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """What a group had committed at a time."""

    at_s: float
    records: int


def rate(commits: Sequence[Commit]) -> float:
    """Records per second between the first and the last commit. Raises LoadError where it can't be told."""
    moved = [commit for commit in commits if commit.records > 0]
    first, last = (moved[0], moved[-1]) if moved else (None, None)
    if first is None or last is None or last.records == first.records:
        raise LoadError("All records were committed at once, which gives no rate; use more --records.")
    return (last.records - first.records) / (last.at_s - first.at_s)
