"""Counts and times without locks are ones that Prometheus understands; answers from memory stand in both tables."""

import math

import pytest
from prometheus_client import CollectorRegistry

from app.observability.lockfree import Counts, ExpressTimes, HttpTimes, Times
from app.observability.store_state import PoolFigures, ReplicaFigures, StoreFigures, StoreState


def test_counts() -> None:
    registry = CollectorRegistry()
    counts = Counts("c", "C", ["kind", "level"], registry)
    counts.add("fragment", "redis", count=3)
    counts.add("fragment", "redis")
    assert registry.get_sample_value("c_total", {"kind": "fragment", "level": "redis"}) == 4
    Counts("d", "D", [], registry)
    assert registry.get_sample_value("d_total") == 0


def test_times() -> None:
    registry = CollectorRegistry()
    times = Times("t_seconds", "T", ["level"], (0.1, 1), registry)
    for seconds in (0.1, 0.5, 7.0):
        times.observe(seconds, "redis")

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"t_seconds_{name}", {"level": "redis", **labels})

    assert [value("bucket", le=bound) for bound in ("0.1", "1.0", "+Inf")] == [1, 2, 3]
    assert (value("count"), value("sum")) == (3, pytest.approx(7.6))
    Times("u_seconds", "U", [], (0.1, 1), registry)
    assert registry.get_sample_value("u_seconds_count") == 0


def test_answers_from_memory_are_among_all_answers() -> None:
    registry = CollectorRegistry()
    times = HttpTimes("h_seconds", "H", registry)
    ExpressTimes("e_seconds", "E", times, registry)
    times.observe("/r", 200, 0.2, "hit")
    times.observe_express("/r", 200, 0.0001, "hit")
    times.observe_express("/only", 200, 0.0001, "hit")
    for _ in range(2):  # a scrape changes nothing
        of_all = {"route": "/r", "status": "200", "cache": "hit"}
        assert registry.get_sample_value("h_seconds_count", of_all) == 2
        assert registry.get_sample_value("h_seconds_sum", of_all) == pytest.approx(0.2001)
        assert registry.get_sample_value("h_seconds_count", {**of_all, "route": "/only"}) == 1
        assert registry.get_sample_value("e_seconds_count", {"route": "/r"}) == 1


def test_what_is_not_known_is_no_number() -> None:
    registry = CollectorRegistry()
    state = StoreState(registry)
    assert registry.get_sample_value("profile_redis_used") is None
    state.figures = lambda: StoreFigures(
        pools=[PoolFigures(name="writer", open=5, idle=2, limit=8)],
        replicas=[ReplicaFigures(name="r1", used=False, lag_bytes=None, lag_s=None)],
        primary_answers=True,
        redis_used=False,
        memory_on=True,
        memory_bytes=10,
        memory_entries=1,
        invalidations_pending=7,
    )
    assert registry.get_sample_value("profile_pool_connections", {"pool": "writer", "state": "busy"}) == 3
    lag = registry.get_sample_value("profile_replica_lag_bytes", {"server": "r1"})
    assert lag is not None
    assert math.isnan(lag)
    assert registry.get_sample_value("profile_replica_used", {"server": "r1"}) == 0
    assert registry.get_sample_value("profile_redis_used") == 0
    assert registry.get_sample_value("profile_invalidations_pending") == 7
