"""The thresholds of the k6 test over a run of wrk."""

from dataclasses import replace

import pytest

from load.errors import LoadError
from load.measure.thresholds import judge
from load.measure.wrk_run import MixResult

RESULT = MixResult(
    seconds=10,
    requests=1000,
    bytes=1,
    answers=1000,
    hits=700,
    wrong=49,
    failed=100,
    percentiles_ms={50: 1, 90: 999.9, 95: 2000, 99: 4999},
    max_ms=9000,
)
THRESHOLDS = {
    "http_req_duration": ["p(90)<1000", "p(95)<2000", "p(99)<5000"],
    "http_req_failed": ["rate<0.1"],
    "errors": ["rate<0.05"],
    "cache_hits": ["rate>0.7"],
}


def test_limits_are_exclusive_and_each_is_judged_by_its_own_metric() -> None:
    verdicts = judge(THRESHOLDS, RESULT)
    assert [(v.metric, v.expression, v.passed) for v in verdicts] == [
        ("http_req_duration", "p(90)<1000", True),
        ("http_req_duration", "p(95)<2000", False),
        ("http_req_duration", "p(99)<5000", True),
        ("http_req_failed", "rate<0.1", False),
        ("errors", "rate<0.05", True),
        ("cache_hits", "rate>0.7", False),
    ]


def test_a_verdict_shows_its_mark_and_what_was_measured() -> None:
    shown = [str(verdict) for verdict in judge(THRESHOLDS, RESULT)]
    assert shown[0] == "✓ http_req_duration p(90)<1000: 999.90 ms"
    assert shown[-1] == "✗ cache_hits rate>0.7: 70.00%"


def test_nothing_passes_without_an_answer() -> None:
    assert not any(v.passed for v in judge(THRESHOLDS, replace(RESULT, answers=0, failed=0, wrong=0)))


@pytest.mark.parametrize("expression", ["p(42)<10", "avg<10", "rate<0.1"])
def test_a_threshold_that_cannot_be_measured_is_an_error(expression: str) -> None:
    with pytest.raises(LoadError, match="can't be judged"):
        judge({"http_req_duration": [expression]}, RESULT)
