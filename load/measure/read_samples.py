"""What one run of reads cost, and how runs are told. Pure."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from load.measure.spread import spread
from load.measure.wrk_run import MixResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One run of wrk and what it cost; None where it was not seen."""

    result: MixResult
    server_cpu_s: float
    redis_cpu_s: float | None
    postgres_cpu_s: float | None
    postgres_reads: int
    written_per_s: float | None = None


Cost = Callable[[Sample], float | None]


def ratios(ours: Sequence[Sample], others: Sequence[Sample]) -> list[float]:
    """Requests per second of each round, to those of the other server in the same round."""
    return [
        own.result.requests_per_second / max(other.result.requests_per_second, 1e-9)
        for own, other in zip(ours, others, strict=True)
    ]


def cpu_ratio(ours: Sequence[Sample], others: Sequence[Sample]) -> float:
    """CPU that the other server needs for a request, to ours: the ratio where neither waits for anybody."""
    own, other = (median(map(_server_ms, samples)) for samples in (ours, others))
    return other / own if own else 0.0


def hit_rate(checked: Sample, samples: Iterable[Sample]) -> float:
    """The lower one of two: what the answers of the checked run say, and what PostgreSQL says of all runs.

    A miss can take several reads, and many misses can share one: neither may make the rate look better than it is.
    """
    return min(checked.result.hit_rate, *(1 - reads_per_request(sample) for sample in [checked, *samples]))


def reads_per_request(sample: Sample) -> float:
    """Reads of PostgreSQL."""
    return sample.postgres_reads / max(1, sample.result.requests)


def traffic(samples: Sequence[Sample], *, percentiles: Sequence[int]) -> list[str]:
    """Cells: requests/s, the percentiles in ms, bytes of an answer."""
    rates = [sample.result.requests_per_second for sample in samples]
    sizes = [sample.result.bytes / max(1, sample.result.requests) for sample in samples]
    times = [median(sample.result.percentiles_ms[p] for sample in samples) for p in percentiles]
    return [spread(rates, "{:,.0f}"), *(f"{time:.2f}" for time in times), f"{median(sizes):,.0f}"]


COSTS: Final = ("CPU ms", "busy", "Redis ms", "PostgreSQL ms", "reads of 1,000", "failed")


def costs(samples: Sequence[Sample]) -> list[str]:
    """Cells under COSTS; the times are CPU for each request, `busy` is the server's share of a core."""
    busy = median(sample.server_cpu_s / max(sample.result.seconds, 1e-9) for sample in samples)
    return [
        f"{median(map(_server_ms, samples)):.3f}",
        f"{busy:.0%}",
        _per_request(samples, lambda sample: sample.redis_cpu_s),
        _per_request(samples, lambda sample: sample.postgres_cpu_s),
        f"{1000 * median(map(reads_per_request, samples)):.1f}",
        f"{sum(sample.result.failed for sample in samples):,}",
    ]


def _server_ms(sample: Sample) -> float:
    return 1000 * sample.server_cpu_s / max(1, sample.result.requests)


def _per_request(samples: Sequence[Sample], cost: Cost) -> str:
    values = []
    for sample in samples:
        seconds = cost(sample)
        if seconds is None:
            return "-"
        values.append(1000 * seconds / max(1, sample.result.requests))
    return f"{median(values):.3f}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
