import pytest

from app.core.errors import FatalError
from app.dead_letters.policy import DeadLetterPolicy


def judge(policy: DeadLetterPolicy, *windows: list[bool]) -> None:
    for outcomes in windows:
        policy.judge(outcomes, example="value is missing.")


def test_a_few_bad_records_are_fine_before_there_is_enough_to_judge() -> None:
    policy = DeadLetterPolicy(max_ratio=0.5, min_records=100, max_run=50)
    judge(policy, [True] * 49, [False], [True] * 49)
    with pytest.raises(FatalError, match="of the last 100 records"):
        judge(policy, [False])


def test_a_ratio_above_the_bound_stops() -> None:
    policy = DeadLetterPolicy(max_ratio=0.5, min_records=100, max_run=1000)
    judge(policy, [True, False] * 50)  # exactly the bound
    with pytest.raises(FatalError, match=r"of the last \d+ records.*value is missing.*PROFILE_DEAD_LETTER"):
        judge(policy, [True, True, False, True] * 25)


def test_old_windows_are_forgotten() -> None:
    policy = DeadLetterPolicy(max_ratio=0.5, min_records=100, max_run=1000)
    judge(policy, [False] * 10_000)
    with pytest.raises(FatalError):
        judge(policy, *[[True, True, False]] * 100)


def test_a_run_stops_across_windows() -> None:
    policy = DeadLetterPolicy(max_ratio=1, min_records=100_000, max_run=10)
    judge(policy, [True] * 9, [False], [False, True, True, True])
    with pytest.raises(FatalError, match="10 records in a row"):
        judge(policy, [True] * 7)


def test_a_good_record_ends_a_run() -> None:
    policy = DeadLetterPolicy(max_ratio=1, min_records=100_000, max_run=10)
    judge(policy, *[[True] * 9 + [False]] * 20, [True] * 9)
    with pytest.raises(FatalError, match="in a row"):
        judge(policy, [True])
