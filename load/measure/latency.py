"""Rates and percentiles of arrivals. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from load.errors import LoadError


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """When an event could be read, and when what it tells was begun: both in seconds since 1970."""

    begun_s: float
    at_s: float


def percentile(values: Sequence[float], share: float) -> float:
    """The least value that at least this share of all do not exceed."""
    if not values:
        raise LoadError("Nothing arrived, so there is nothing to measure.")
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def delays(arrivals: Sequence[Arrival]) -> list[float]:
    """Seconds from begin to arrival."""
    return [arrival.at_s - arrival.begun_s for arrival in arrivals]


def rate(arrivals: Sequence[Arrival]) -> float:
    """Arrivals in a second, between the first and the last. Raises LoadError where all came at once."""
    times = [arrival.at_s for arrival in arrivals]
    if len(times) < 2 or max(times) == min(times):
        raise LoadError("All events came at once, which gives no rate; use more --changes.")
    return (len(times) - 1) / (max(times) - min(times))
