from datetime import UTC, datetime, timedelta, timezone

import pytest

from app.core.dates import from_epoch_ms, kept_from, parse, to_epoch_ms, to_text
from app.core.errors import InvalidError


@pytest.mark.parametrize("milliseconds", [-62_135_596_800_000, -1, 0, 1, 1_736_937_000_123])
def test_timestamps_and_dates_are_inverse(milliseconds: int) -> None:
    assert to_epoch_ms(from_epoch_ms(milliseconds)) == milliseconds


def test_a_date_between_two_timestamps_is_the_later_one() -> None:
    date = datetime(1970, 1, 1, tzinfo=UTC)
    assert to_epoch_ms(date + timedelta(microseconds=1)) == 1
    assert to_epoch_ms(date - timedelta(microseconds=1)) == 0


@pytest.mark.parametrize(
    "spelled",
    [
        "2025-01-15T10:30:00+00:60",
        "2025-01-15T10:30:00+00:99",
        "2025-01-15T10:30:00-03:75",
        "2025-01-15T10:30:00+24:00",
        "2025-01-15T10:30:00+99:59",
        "2025-01-15T10:30:00+0300",
        "2025-01-15T10:30:00+03",
        "2025-01-15T24:00:00Z",
        "2025-01-15T23:59:60Z",
        "2016-12-31T23:59:60Z",
        "2025-01-15T10:60:00Z",
        "2025-02-29T10:30:00Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
    ],
)
def test_what_is_no_time_is_refused(spelled: str) -> None:
    with pytest.raises(InvalidError, match="RFC 3339") as caught:
        parse(spelled, field="reference_date")
    assert (caught.value.code, caught.value.field) == ("invalid-date", "reference_date")


@pytest.mark.parametrize(
    ("spelled", "meant"),
    [
        ("2025-01-15T10:30:00+05:45", "2025-01-15T04:45:00.000000Z"),
        ("2025-01-15T10:30:00+23:59", "2025-01-14T10:31:00.000000Z"),
        ("2025-01-15T10:30:00-23:59", "2025-01-16T10:29:00.000000Z"),
        ("2025-01-15T10:30:00-00:00", "2025-01-15T10:30:00.000000Z"),
        ("2025-01-15 10:30:00.1234567z", "2025-01-15T10:30:00.123456Z"),
    ],
)
def test_offsets(spelled: str, meant: str) -> None:
    assert to_text(parse(spelled, field="f")) == meant


def test_points_are_kept_from_a_midnight_on() -> None:
    now = datetime(2026, 3, 4, 23, 59, 59, 999_999, tzinfo=UTC)
    assert kept_from(now, None) is None
    assert kept_from(now, 1) == datetime(2026, 2, 1, tzinfo=UTC)
    assert kept_from(now.astimezone(timezone(timedelta(hours=14))), 1) == datetime(2026, 2, 1, tzinfo=UTC)
    assert kept_from(now + timedelta(microseconds=1), 1) == datetime(2026, 2, 2, tzinfo=UTC)


@pytest.mark.parametrize("months", [24_000, 10**9, 10**30])
def test_all_points_are_kept_where_no_date_is_so_long_ago(months: int) -> None:
    assert kept_from(datetime(2026, 3, 4, tzinfo=UTC), months) is None
