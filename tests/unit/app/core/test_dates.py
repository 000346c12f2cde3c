from datetime import UTC, datetime, timedelta

import pytest

from app.core.dates import from_epoch_ms, to_epoch_ms


@pytest.mark.parametrize("milliseconds", [-62_135_596_800_000, -1, 0, 1, 1_736_937_000_123])
def test_timestamps_and_dates_are_inverse(milliseconds: int) -> None:
    assert to_epoch_ms(from_epoch_ms(milliseconds)) == milliseconds


def test_a_date_between_two_timestamps_is_the_later_one() -> None:
    date = datetime(1970, 1, 1, tzinfo=UTC)
    assert to_epoch_ms(date + timedelta(microseconds=1)) == 1
    assert to_epoch_ms(date - timedelta(microseconds=1)) == 0
