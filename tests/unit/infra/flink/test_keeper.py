"""Jobs that a session cluster forgot are submitted again; what fails is tried again, less and less often."""

from pathlib import Path

import pytest

from infra.errors import InfraError
from infra.flink import keeper
from infra.settings import InfraSettings


class Over(Exception):
    """Ends the loop, which has no end of its own."""


class Cluster:
    """Answers of the cluster in turn: the jobs that are missing, or a failure."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, mark: Path, *answers: list[str] | InfraError) -> None:
        self._answers = [*answers]
        self._mark = mark
        self.submitted = 0
        self.pauses: list[float] = []
        self.marks: list[bool] = []  # at each pause: whether a probe finds the jobs running
        monkeypatch.setattr(keeper, "missing", self._missing)
        monkeypatch.setattr(keeper, "submit", self._submit)

    def _missing(self, _: InfraSettings, *, topic_prefix: str) -> list[str]:
        answer = self._answers.pop(0)
        if isinstance(answer, InfraError):
            raise answer
        return answer

    def _submit(self, _: InfraSettings, *, topic_prefix: str) -> None:
        self.submitted += 1

    def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.marks.append(self._mark.exists())
        if not self._answers:
            raise Over

    def keep(self) -> None:
        with pytest.raises(Over):
            keeper.keep(InfraSettings(), topic_prefix="t.", mark=self._mark, sleep=self._sleep)


def test_what_is_missing_is_submitted_and_what_runs_is_left(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cluster = Cluster(monkeypatch, tmp_path / "mark", ["payments"], [], ["events"], [])
    cluster.keep()
    assert cluster.submitted == 2
    assert cluster.marks == [True] * 4


def test_a_cluster_that_is_away_is_asked_less_and_less_often(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    away = [InfraError("no answer")] * 6
    cluster = Cluster(monkeypatch, tmp_path / "mark", [], *away, [])
    cluster.keep()
    assert cluster.pauses == [10, 10, 20, 40, 80, 120, 120, 10]
    assert cluster.marks == [True, *[False] * 6, True]
