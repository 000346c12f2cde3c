"""The rate of a consumer group, from what it committed."""

import pytest

from load.errors import LoadError
from load.measure.commits import Commit, speed


def test_starting_does_not_count() -> None:
    commits = [
        Commit(at_s=0, records=0),
        Commit(at_s=60, records=1_000),
        Commit(at_s=61, records=6_000),
        Commit(at_s=62, records=21_000),
    ]
    assert speed(commits).records_per_s == 10_000


def test_cpu_is_that_of_the_records_between_the_commits() -> None:
    commits = [Commit(at_s=1, records=1_000, cpu_s=5.0), Commit(at_s=2, records=5_000, cpu_s=5.2)]
    assert speed(commits).cpu_s_per_1000 == pytest.approx(0.05)


@pytest.mark.parametrize(
    "commits", [[], [Commit(at_s=1, records=0)], [Commit(at_s=1, records=0), Commit(at_s=2, records=50)]]
)
def test_one_commit_gives_no_rate(commits: list[Commit]) -> None:
    with pytest.raises(LoadError, match="more --records"):
        speed(commits)
