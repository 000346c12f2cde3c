"""For how long a merge stands still: by placeholder, and never 0 because nobody looked."""

import math

import pytest

from storage.write.waiting_merges import WaitingMerges
from tests.unit.storage.fakes import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def waiting(clock: ManualClock) -> WaitingMerges:
    return WaitingMerges(clock)


def test_is_unknown_before_the_first_look_and_a_minute_after_the_last(
    waiting: WaitingMerges, clock: ManualClock
) -> None:
    assert math.isnan(waiting.still_s)
    waiting.found({})
    assert (len(waiting), waiting.still_s) == (0, 0)
    clock.time += 61
    assert math.isnan(waiting.still_s)


def test_counts_on_while_nobody_looks(waiting: WaitingMerges, clock: ManualClock) -> None:
    waiting.found({1: 5.0})
    clock.time += 3_600
    assert (len(waiting), waiting.still_s) == (1, 3_605)


def test_a_large_one_that_moves_is_not_still_and_one_that_is_passed_over_is(
    waiting: WaitingMerges, clock: ManualClock
) -> None:
    waiting.found({1: 1_000.0})
    for _ in range(10):
        waiting.moved([1])
        clock.time += 2
        waiting.found({1: 1_002.0})
    assert waiting.still_s == 2
    for seconds in range(0, 700, 10):  # small ones come and go before it
        waiting.found({1: 1_000.0 + seconds, 100 + seconds: 1.0})
        waiting.merged([100 + seconds])
        clock.time += 10
    assert (len(waiting), waiting.still_s) == (1, 702)
    waiting.merged([1])
    assert (len(waiting), waiting.still_s) == (0, 0)
