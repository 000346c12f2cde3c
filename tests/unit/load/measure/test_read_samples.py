"""Ratios, rates and cells of the tables."""

import pytest

from load.measure.read_samples import COSTS, Sample, costs, cpu_ratio, hit_rate, ratios, table, traffic
from load.measure.wrk_run import MixResult


def sample(
    rate: int = 1_000,
    *,
    cpu_s: float = 0.5,
    reads: int = 0,
    hits: int = 0,
    answers: int = 0,
    redis: float | None = 0.2,
    failed: int = 0,
) -> Sample:
    result = MixResult(
        seconds=2,
        requests=2 * rate,
        bytes=2 * rate * 5_000,
        answers=answers,
        hits=hits,
        wrong=0,
        failed=failed,
        percentiles_ms={50: 1.0, 90: 2.0, 95: 3.0, 99: 4.5},
        max_ms=9,
    )
    return Sample(
        result=result, server_cpu_s=cpu_s, redis_cpu_s=redis, postgres_cpu_s=0.1, postgres_reads=reads
    )


def test_ratios_are_of_the_same_round() -> None:
    assert ratios([sample(600), sample(900)], [sample(1_200), sample(1_000)]) == [0.5, 0.9]


def test_a_server_that_answers_nothing_is_no_division_by_zero() -> None:
    assert ratios([sample(0)], [sample(10)]) == [0]
    assert cpu_ratio([sample(10, cpu_s=0)], [sample(10)]) == 0
    assert costs([sample(0)])[0] == "500.000"


def test_the_ratio_by_cpu_is_what_the_other_needs_to_what_we_need() -> None:
    assert cpu_ratio([sample(1_000, cpu_s=1.0)], [sample(2_000, cpu_s=1.0)]) == pytest.approx(0.5)


def test_the_hit_rate_is_the_lower_one_of_answers_and_statements() -> None:
    checked = sample(1_000, answers=2_000, hits=1_980, reads=10)
    assert hit_rate(checked, [sample(1_000, reads=4)]) == pytest.approx(0.99)
    # An answer that calls itself a hit and asked PostgreSQL is found out.
    assert hit_rate(checked, [sample(1_000, reads=200)]) == pytest.approx(0.9)
    assert hit_rate(sample(1_000, answers=2_000, hits=2_000, reads=500), []) == pytest.approx(0.75)


def test_cells() -> None:
    samples = [sample(1_000, reads=20), sample(3_000), sample(2_000, failed=7)]
    assert traffic(samples, percentiles=[50, 99]) == ["2,000 (1,000 to 3,000)", "1.00", "4.50", "5,000"]
    cells = dict(zip(COSTS, costs(samples), strict=True))
    assert cells == {
        "CPU ms": "0.125",
        "busy": "25%",
        "Redis ms": "0.050",
        "PostgreSQL ms": "0.025",
        "reads of 1,000": "0.0",
        "failed": "7",
    }


def test_what_was_not_seen_is_a_dash() -> None:
    assert costs([sample(), sample(redis=None)])[2] == "-"


def test_a_table_is_markdown() -> None:
    assert table(["a", "b"], [["1", ""]]).splitlines() == ["| a | b |", "| --- | --- |", "| 1 |  |"]
