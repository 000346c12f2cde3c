"""What a consumer group committed, and the rate that it shows. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from load.errors import LoadError


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """What a group had committed at a time, and the CPU seconds that its process had used by then."""

    at_s: float
    records: int
    cpu_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """What a reader reached between its first and its last commit."""

    records_per_s: float
    cpu_s_per_1000: float


def speed(commits: Sequence[Commit]) -> Speed:
    """Between the first and the last commit. Raises LoadError where it can't be told."""
    moved = [commit for commit in commits if commit.records > 0]
    first, last = (moved[0], moved[-1]) if moved else (None, None)
    if first is None or last is None or last.records == first.records:
        raise LoadError("All records were committed at once, which gives no rate; use more --records.")
    records = last.records - first.records
    return Speed(
        records_per_s=records / (last.at_s - first.at_s),
        cpu_s_per_1000=1000 * (last.cpu_s - first.cpu_s) / records,
    )
