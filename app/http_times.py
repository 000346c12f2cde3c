"""The histogram of answered requests, counted without locks.

prometheus_client's own takes two locks for each observation, several times what the count itself costs. All of this
runs on the event loop's thread, and a scrape reads what is there.
"""

from bisect import bisect_left
from collections.abc import Iterator
from typing import Final

from prometheus_client.metrics_core import HistogramMetricFamily
from prometheus_client.registry import REGISTRY, Collector, CollectorRegistry

BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)


class HttpTimes(Collector):
    """Seconds by route template, status and cache outcome."""

    def __init__(self, name: str, documentation: str, registry: CollectorRegistry = REGISTRY) -> None:
        self._name = name
        self._documentation = documentation
        self._counts: dict[tuple[str, int, str], list[int]] = {}
        self._sums: dict[tuple[str, int, str], float] = {}
        registry.register(self)

    def observe(self, route: str, status: int, seconds: float, cache: str) -> None:
        """Count one answered request."""
        key = (route, status, cache)
        counts = self._counts.get(key)
        if counts is None:
            counts = self._counts[key] = [0] * (len(BUCKETS) + 1)
            self._sums[key] = 0.0
        counts[bisect_left(BUCKETS, seconds)] += 1
        self._sums[key] += seconds

    def describe(self) -> Iterator[HistogramMetricFamily]:
        yield self._family()

    def collect(self) -> Iterator[HistogramMetricFamily]:
        family = self._family()
        for (route, status, cache), counts in list(self._counts.items()):
            total = 0
            buckets = []
            for bound, count in zip([*map(str, map(float, BUCKETS)), "+Inf"], counts, strict=True):
                total += count
                buckets.append((bound, total))
            family.add_metric(
                [route, str(status), cache], buckets=buckets, sum_value=self._sums[route, status, cache]
            )
        yield family

    def _family(self) -> HistogramMetricFamily:
        return HistogramMetricFamily(self._name, self._documentation, labels=["route", "status", "cache"])
