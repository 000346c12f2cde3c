"""Which checkpoint a job goes on from after an outage."""

import pytest

from infra.flink.checkpoints import Checkpoint, resume_point, transaction_timeout_s

TIMEOUT_S = 100.0


def _kept(*ages_s: float, directory: str = "job-1") -> list[Checkpoint]:
    """Checkpoints of these ages at the time 0."""
    return [Checkpoint(path=f"/c/{directory}/chk-{age:.0f}", completed_at=-age) for age in ages_s]


def _resumed(kept: list[Checkpoint]) -> str | None:
    return resume_point(kept, timeout_s=TIMEOUT_S, now=0.0)


def test_the_newest_counts_while_the_broker_keeps_its_transactions() -> None:
    assert _resumed(_kept(49, 50, 51)) == "/c/job-1/chk-49"
    assert _resumed([]) is None


def test_after_that_it_is_one_whose_transactions_are_committed() -> None:
    assert _resumed(_kept(51, 52, 53)) == "/c/job-1/chk-53"
    assert _resumed(_kept(51, 52)) == "/c/job-1/chk-52"
    # Those that a start before left are of no use while the last has enough of its own.
    assert _resumed(_kept(51, 52, 53) + _kept(900, directory="job-0")) == "/c/job-1/chk-53"
    assert _resumed(_kept(51) + _kept(900, 901, directory="job-0")) == "/c/job-0/chk-901"


def test_what_is_lost_with_the_only_checkpoint_is_read_from_the_beginning() -> None:
    assert _resumed(_kept(51)) is None


def test_a_savepoint_has_committed_everything() -> None:
    (savepoint,) = _kept(51, directory="savepoints")
    assert _resumed([savepoint]) == savepoint.path
    assert _resumed([savepoint, *_kept(52, 53)]) == savepoint.path


@pytest.mark.parametrize(
    ("sql", "timeout_s"),
    [
        ("'properties.transaction.timeout.ms' = '5000', 'properties.transaction.timeout.ms' = '7000'", 5.0),
        ("", float("inf")),
    ],
)
def test_the_timeout_is_that_of_the_sinks(sql: str, timeout_s: float) -> None:
    assert transaction_timeout_s(sql) == timeout_s
