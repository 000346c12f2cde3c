"""The histogram of requests is one that Prometheus understands."""

from prometheus_client import CollectorRegistry, generate_latest

from app.observability.lockfree import HttpTimes


def test_buckets_are_cumulative_and_bounds_inclusive() -> None:
    registry = CollectorRegistry()
    times = HttpTimes("t_seconds", "Time", registry)
    for seconds in (0.0005, 0.0006, 0.2, 60.0):
        times.observe("/v1/graph/{id}", 200, seconds, "hit")
    times.observe("/healthz", 503, 0.001, "-")
    page = generate_latest(registry).decode()
    labels = 'cache="hit",{}route="/v1/graph/{{id}}",status="200"'

    def value(name: str, bound: str = "") -> float:
        wanted = labels.format(f'le="{bound}",' if bound else "")
        (line,) = [
            line for line in page.splitlines() if line.startswith(f"t_seconds_{name}{{{wanted}}}")
        ] or [page]
        return float(line.rpartition(" ")[2])

    assert [value("bucket", bound) for bound in ("0.0005", "0.001", "0.25", "5.0", "+Inf")] == [1, 2, 3, 3, 4]
    assert (value("count"), round(value("sum"), 4)) == (4, 60.2011)
    assert "# TYPE t_seconds histogram" in page
