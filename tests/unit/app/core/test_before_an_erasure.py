"""What is from before an erasure: by its timestamp, or by where its record lies."""

from datetime import UTC, datetime, timedelta

import pytest

from app.core.erasure import MOST_AHEAD, Erasure
from app.core.models import RecordSource

AT = datetime(2025, 6, 1, tzinfo=UTC)
ENDS = {"entities-edges": [10, 0], "temporal-data": [5]}
SECOND = timedelta(seconds=1)


def stands(told_at: datetime, place: RecordSource | None, *, known: bool = True) -> bool:
    return Erasure(erased_at=AT, log_ends=ENDS if known else None).precedes(told_at, place)


@pytest.mark.parametrize("ahead", [timedelta(microseconds=1), SECOND, timedelta(minutes=59), MOST_AHEAD])
def test_a_record_that_lay_in_its_topic_is_old_however_far_ahead_it_is_stamped(ahead: timedelta) -> None:
    assert not stands(AT + ahead, RecordSource("entities-edges", 0, 9))
    assert not stands(AT + ahead, RecordSource("temporal-data", 0, 0))


@pytest.mark.parametrize(
    "place",
    [
        RecordSource("entities-edges", 0, 10),
        RecordSource("entities-edges", 1, 0),
        RecordSource("entities-edges", 2, 0),  # a partition that was added
        RecordSource("entity-properties", 0, 0),
        None,
    ],
)
def test_what_comes_after_the_ends_is_judged_by_its_time(place: RecordSource | None) -> None:
    assert stands(AT + SECOND, place)
    assert not stands(AT, place), "the same instant is before"
    assert not stands(AT - SECOND, place)


def test_without_ends_the_time_decides() -> None:
    assert stands(AT + SECOND, RecordSource("entities-edges", 0, 9), known=False)
    assert not stands(AT, RecordSource("entities-edges", 0, 99), known=False)


def test_a_stamp_that_no_broker_took_before_is_new_in_a_topic_that_was_created_again() -> None:
    assert stands(AT + MOST_AHEAD + SECOND, RecordSource("entities-edges", 0, 3))
