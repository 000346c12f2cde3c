"""Counters and histograms that take no lock.

prometheus_client's own take one or two locks for each count. All of this runs on the event loop's thread, and a scrape
reads what is there.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Final

from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import REGISTRY, Collector, CollectorRegistry

READ_BUCKETS: Final = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 2.5)
LATE_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)


class Counts(Collector):
    """A counter by labels."""

    def __init__(
        self,
        name: str,
        documentation: str,
        labels: Sequence[str],
        registry: CollectorRegistry = REGISTRY,
    ) -> None:
        self._name = name
        self._documentation = documentation
        self._labels = labels
        self._counts: dict[tuple[str, ...], int] = {} if labels else {(): 0}
        registry.register(self)

    def add(self, *labels: str, count: int = 1) -> None:
        self._counts[labels] = self._counts.get(labels, 0) + count

    def describe(self) -> Iterator[CounterMetricFamily]:
        yield CounterMetricFamily(self._name, self._documentation, labels=self._labels)

    def collect(self) -> Iterator[CounterMetricFamily]:
        for family in self.describe():
            for labels, count in list(self._counts.items()):
                family.add_metric(labels, count)
            yield family


class Times(Collector):
    """A histogram of seconds by labels."""

    def __init__(
        self,
        name: str,
        documentation: str,
        labels: Sequence[str],
        buckets: Sequence[float] = READ_BUCKETS,
        registry: CollectorRegistry = REGISTRY,
    ) -> None:
        self._name = name
        self._documentation = documentation
        self._labels = labels
        self._bounds = tuple(buckets)
        self._names = (*(str(float(bound)) for bound in buckets), "+Inf")
        self._counts: dict[tuple[str, ...], list[int]] = {}
        self._sums: dict[tuple[str, ...], float] = {}
        if not labels:
            self._begin(())
        registry.register(self)

    def _begin(self, labels: tuple[str, ...]) -> list[int]:
        self._sums[labels] = 0.0
        counts = self._counts[labels] = [0] * len(self._names)
        return counts

    def observe(self, seconds: float, *labels: str) -> None:
        counts = self._counts.get(labels)
        if counts is None:
            counts = self._begin(labels)
        counts[bisect_left(self._bounds, seconds)] += 1
        self._sums[labels] += seconds

    def describe(self) -> Iterator[HistogramMetricFamily]:
        yield HistogramMetricFamily(self._name, self._documentation, labels=self._labels)

    def collect(self) -> Iterator[HistogramMetricFamily]:
        for family in self.describe():
            for labels, counts in list(self._counts.items()):
                total, buckets = 0, []
                for bound, count in zip(self._names, counts, strict=True):
                    total += count
                    buckets.append((bound, total))
                family.add_metric(labels, buckets=buckets, sum_value=self._sums[labels])
            yield family


BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)


_NAMES: Final = (*(str(float(bound)) for bound in BUCKETS), "+Inf")


_NOTHING: Final = [0] * len(_NAMES)


_OK: Final = 200


_HIT: Final = "hit"  # all that an answer from memory can be


class HttpTimes(Collector):
    """Seconds by route template, status and cache outcome."""

    def __init__(self, name: str, documentation: str, registry: CollectorRegistry = REGISTRY) -> None:
        self._name = name
        self._documentation = documentation
        self._counts: dict[tuple[str, int, str], list[int]] = {}
        self._sums: dict[tuple[str, int, str], float] = {}
        self.express: dict[str, list[int]] = {}
        self.express_sums: dict[str, float] = {}
        registry.register(self)

    def observe_express(self, route: str, status: int, seconds: float, cache: str) -> None:
        """Count one answer from memory, in a table of its own; `collect` puts the two together."""
        counts = self.express.get(route)
        if counts is None:
            counts = self.express[route] = [0] * (len(BUCKETS) + 1)
            self.express_sums[route] = 0.0
        counts[bisect_left(BUCKETS, seconds)] += 1
        self.express_sums[route] += seconds

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
        counts = {key: list(told) for key, told in self._counts.items()}
        sums = dict(self._sums)
        for route, told in self.express.items():
            key = (route, _OK, _HIT)
            counts[key] = [a + b for a, b in zip(told, counts.get(key, _NOTHING), strict=True)]
            sums[key] = self.express_sums[route] + sums.get(key, 0.0)
        for (route, status, cache), told in counts.items():
            key = (route, status, cache)
            family.add_metric([route, str(status), cache], buckets=_cumulative(told), sum_value=sums[key])
        yield family

    def _family(self) -> HistogramMetricFamily:
        return HistogramMetricFamily(self._name, self._documentation, labels=["route", "status", "cache"])


class ExpressTimes(Collector):
    """The answers from memory among those of HttpTimes, by route template."""

    def __init__(
        self, name: str, documentation: str, times: HttpTimes, registry: CollectorRegistry = REGISTRY
    ) -> None:
        self._name = name
        self._documentation = documentation
        self._times = times
        registry.register(self)

    def describe(self) -> Iterator[HistogramMetricFamily]:
        yield HistogramMetricFamily(self._name, self._documentation, labels=["route"])

    def collect(self) -> Iterator[HistogramMetricFamily]:
        for family in self.describe():
            for route, counts in list(self._times.express.items()):
                family.add_metric(
                    [route], buckets=_cumulative(counts), sum_value=self._times.express_sums[route]
                )
            yield family


def _cumulative(counts: Sequence[int]) -> list[tuple[str, float]]:
    total, buckets = 0, []
    for bound, count in zip(_NAMES, counts, strict=True):
        total += count
        buckets.append((bound, float(total)))
    return buckets
