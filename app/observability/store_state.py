"""What the stores look like at the moment of a scrape: pools, servers, caches."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import REGISTRY, Collector, CollectorRegistry


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolFigures:
    """Connections of one pool; `idle` of the `open` ones are not in use."""

    name: str
    open: int
    idle: int
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaFigures:
    """A replica; the lag is None where it, or the primary, did not answer lately."""

    name: str
    used: bool
    lag_bytes: int | None
    lag_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreFigures:
    """All of it; what a worker does not have is empty or None."""

    pools: Sequence[PoolFigures]
    replicas: Sequence[ReplicaFigures]
    primary_answers: bool | None
    redis_used: bool | None
    memory_on: bool | None
    memory_bytes: int
    memory_entries: int
    invalidations_pending: int


_NAN: Final = float("nan")
_FAMILIES: Final[dict[str, tuple[str, Sequence[str]]]] = {
    "profile_pool_connections": ("Connections of a pool, by state", ("pool", "state")),
    "profile_pool_limit": ("How many connections a pool may have", ("pool",)),
    "profile_primary_answers": ("0 after the primary did not answer a read, until it does", ()),
    "profile_replica_used": ("1 while reads may go to the replica", ("server",)),
    "profile_replica_lag_bytes": (
        "WAL that the primary flushed and the replica has not replayed",
        ("server",),
    ),
    "profile_replica_lag_seconds": ("For how long the replica lacks what it lacks", ("server",)),
    "profile_redis_used": ("0 while the breaker keeps calls from Redis; NaN without a cache", ()),
    "profile_memory_cache_on": ("1 while notifications are heard, so that memory may answer", ()),
    "profile_memory_cache_bytes": ("Fragments and look-ups kept in the process", ()),
    "profile_memory_cache_entries": ("Their number", ()),
    "profile_invalidations_pending": ("Keys that Redis has not dropped yet, and is asked again to drop", ()),
}


class StoreState(Collector):
    """Asks no server: `figures`, set where stores are open, reads this process's memory."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.figures: Callable[[], StoreFigures | None] = lambda: None
        registry.register(self)

    def describe(self) -> Iterator[GaugeMetricFamily]:
        for name, (documentation, labels) in _FAMILIES.items():
            yield GaugeMetricFamily(name, documentation, labels=labels)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        figures = self.figures()
        samples = {} if figures is None else _samples(figures)
        for family in self.describe():
            for labels, value in samples.get(family.name, ()):
                family.add_metric(labels, value)
            yield family


def _samples(figures: StoreFigures) -> dict[str, list[tuple[Sequence[str], float]]]:
    def of_replicas(value: Callable[[ReplicaFigures], float | None]) -> list[tuple[Sequence[str], float]]:
        return [((r.name,), _number(value(r))) for r in figures.replicas]

    return {
        "profile_pool_connections": [
            ((pool.name, state), count)
            for pool in figures.pools
            for state, count in (("busy", pool.open - pool.idle), ("idle", pool.idle))
        ],
        "profile_pool_limit": [((pool.name,), pool.limit) for pool in figures.pools],
        "profile_primary_answers": _if_known(figures.primary_answers),
        "profile_replica_used": of_replicas(lambda replica: replica.used),
        "profile_replica_lag_bytes": of_replicas(lambda replica: replica.lag_bytes),
        "profile_replica_lag_seconds": of_replicas(lambda replica: replica.lag_s),
        "profile_redis_used": [((), _number(figures.redis_used))],
        "profile_memory_cache_on": _if_known(figures.memory_on),
        "profile_memory_cache_bytes": [((), figures.memory_bytes)],
        "profile_memory_cache_entries": [((), figures.memory_entries)],
        "profile_invalidations_pending": [((), figures.invalidations_pending)],
    }


def _if_known(value: float | None) -> list[tuple[Sequence[str], float]]:
    return [] if value is None else [((), value)]


def _number(value: float | None) -> float:
    return _NAN if value is None else value
