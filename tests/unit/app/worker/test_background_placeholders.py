"""The watch merges until nothing is left, and nothing that happens ends it."""

import logging
from dataclasses import dataclass, field

import pytest
from prometheus_client import REGISTRY

from app.core.errors import TransientError
from app.worker.background import PlaceholderWatch


@dataclass
class FakeMerger:
    """Answers these, one a call."""

    answers: list[int | Exception | None] = field(default_factory=list)

    async def merge(self) -> int | None:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def waiting(self) -> int:
        return 3

    def still_s(self) -> float:
        return 700.0


def test_metrics_ask_the_merger_since_one_that_hangs_says_nothing() -> None:
    PlaceholderWatch(FakeMerger(), interval_s=1)
    assert REGISTRY.get_sample_value("profile_merges_waiting") == 3
    assert REGISTRY.get_sample_value("profile_merge_still_seconds") == 700


@pytest.mark.parametrize("last", [0, None])
async def test_merges_until_nothing_is_left_or_another_one_does(last: int | None) -> None:
    merger = FakeMerger([200, 3, last, 99])
    await PlaceholderWatch(merger, interval_s=1).merge()
    assert merger.answers == [99]


async def test_a_failure_is_told_once_and_does_not_quote_a_row(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    watch = PlaceholderWatch(
        FakeMerger(
            [ValueError("a row"), TransientError("The primary is away."), 0, TransientError("Again.")]
        ),
        interval_s=1,
    )
    for _ in range(4):
        await watch.merge()
    assert [record.getMessage() for record in caplog.records] == [
        "Placeholders are not merged for now: ValueError",
        "Placeholders are not merged for now: Again.",
    ]
