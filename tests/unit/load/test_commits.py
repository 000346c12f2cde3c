"""The rate of a consumer group, from what it committed."""

import pytest

from load.commits import Commit, rate
from load.errors import LoadError


def test_starting_does_not_count() -> None:
    commits = [
        Commit(at_s=0, records=0),
        Commit(at_s=60, records=1_000),
        Commit(at_s=61, records=6_000),
        Commit(at_s=62, records=21_000),
    ]
    assert rate(commits) == 10_000


@pytest.mark.parametrize(
    "commits", [[], [Commit(at_s=1, records=0)], [Commit(at_s=1, records=0), Commit(at_s=2, records=50)]]
)
def test_one_commit_gives_no_rate(commits: list[Commit]) -> None:
    with pytest.raises(LoadError, match="more --records"):
        rate(commits)
