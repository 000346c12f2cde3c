"""The thresholds of the k6 test, judged over a run of wrk."""

import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from load.errors import LoadError
from load.measure.wrk_run import MixResult

_EXPRESSION: Final = re.compile(r"(?:p\((\d+)\)|(rate))\s*(<=|>=|<|>)\s*([\d.]+)\Z")
_COMPARE: Final = {"<": operator.lt, ">": operator.gt, "<=": operator.le, ">=": operator.ge}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One threshold, what was measured, and whether it holds."""

    metric: str
    expression: str
    measured: str
    passed: bool

    def __str__(self) -> str:
        return f"{'✓' if self.passed else '✗'} {self.metric} {self.expression}: {self.measured}"


def judge(thresholds: Mapping[str, Sequence[str]], result: MixResult) -> list[Verdict]:
    """Judge all. Raises LoadError for a threshold that wrk can't measure."""
    return [_judge(metric, text, result) for metric, texts in thresholds.items() for text in texts]


def _judge(metric: str, expression: str, result: MixResult) -> Verdict:
    match = _EXPRESSION.match(expression)
    rates = {
        "http_req_failed": result.failed_rate,
        "errors": result.error_rate,
        "cache_hits": result.hit_rate,
    }
    value: float | None = None
    if match and match[1] and metric == "http_req_duration":
        value = result.percentiles_ms.get(int(match[1]))
    elif match and match[2]:
        value = rates.get(metric)
    if match is None or value is None:
        raise LoadError(f"The threshold {metric} {expression} can't be judged over a run of wrk.")
    return Verdict(
        metric=metric,
        expression=expression,
        measured=f"{value:.2f} ms" if match[1] else f"{value:.2%}",
        # A run without an answer has passed nothing.
        passed=result.answers > 0 and _COMPARE[match[3]](value, float(match[4])),
    )
