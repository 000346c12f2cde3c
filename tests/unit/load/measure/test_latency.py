"""Rates and percentiles."""

import pytest

from load.errors import LoadError
from load.measure.latency import Arrival, delays, percentile, rate


def test_a_percentile_is_a_value_that_occurred() -> None:
    values = [float(n) for n in range(100, 0, -1)]
    assert percentile(values, 0.5) == 50
    assert percentile(values, 0.99) == 99
    assert percentile([3.0], 0.99) == 3
    with pytest.raises(LoadError, match="Nothing arrived"):
        percentile([], 0.5)


def test_a_rate_is_between_the_first_and_the_last() -> None:
    arrivals = [
        Arrival(begun_s=9.5, at_s=10.0),
        Arrival(begun_s=9.0, at_s=12.0),
        Arrival(begun_s=9.0, at_s=11.0),
    ]
    assert rate(arrivals) == 1
    assert delays(arrivals) == [0.5, 3.0, 2.0]
    with pytest.raises(LoadError, match="at once"):
        rate(arrivals[:1])
