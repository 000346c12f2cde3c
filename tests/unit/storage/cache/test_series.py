"""Periods of a series are those of a naive model on lists."""

import json

from hypothesis import given
from hypothesis import strategies as st

from app.core.dates import to_text
from storage.cache.series import Series
from tests.rows import at

_DAYS = st.lists(st.integers(min_value=0, max_value=40).map(lambda n: n * 86_400), min_size=1, max_size=9)
_AT = st.integers(min_value=-1, max_value=41).map(lambda n: n * 86_400)
_VALUES = st.sampled_from(["1", '"\\"}"', '{"reference_date": "2025-01-01T00:00:00.000000Z"}', '"a,b"'])


def text(seconds: int) -> str:
    return to_text(at(seconds))


def point(seconds: int, value: str) -> bytes:
    return f'{{"value":{value},"granularity":"day","reference_date":"{text(seconds)}"}}'.encode()


@given(_DAYS.map(sorted), _AT, st.data())
def test_a_period_is_what_a_list_would_give(days: list[int], bound: int, data: st.DataObject) -> None:
    points = [point(day, data.draw(_VALUES)) for day in days]
    series = Series.of(b'"k":[', points)
    edge = text(bound).encode()

    assert series.dates == [text(day).encode() for day in days]
    assert series.since(None) == b'"k":[' + b",".join(points)
    from_then = [each for each, day in zip(points, days, strict=True) if day >= bound]
    assert series.since(edge) == (b'"k":[' + b",".join(from_then) if from_then else b"")

    up_to_then = [each for each, day in zip(points, days, strict=True) if day <= bound]
    kept = series.until(edge)
    assert kept == (Series.of(b'"k":[', up_to_then) if up_to_then else None)
    assert [json.loads(each) for each in points]
